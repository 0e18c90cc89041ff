// WebGL2: a tile is an array texture with a layer per channel; contrast, colours and labels are the shader's.

const VERTEX = `#version 300 es
uniform vec4 place; // left, top, right, bottom in pixels
uniform vec2 screen;
uniform vec2 turned; // 1 where samples run against the screen
out vec2 uv;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  uv = abs(turned - corner);
  vec2 at = mix(place.xy, place.zw, corner) / screen;
  gl_Position = vec4(at.x * 2.0 - 1.0, 1.0 - at.y * 2.0, 0.0, 1.0);
}`;

const MISSING = `
vec4 missing() {
  vec2 cell = floor(gl_FragCoord.xy / 6.0);
  return vec4(vec3(mod(cell.x + cell.y, 2.0) < 0.5 ? 0.30 : 0.38), 1.0);
}`;

const IMAGE = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2DArray;
uniform sampler2DArray texels;
uniform sampler2D colours;
uniform int n;
uniform vec2 limits[16];
uniform vec3 colour[16];
uniform bool lit[16];
uniform bool mapped;
uniform bool hasNodata;
uniform float nodata;
in vec2 uv;
out vec4 shown;
${MISSING}
void main() {
  ivec2 size = textureSize(texels, 0).xy;
  ivec2 at = clamp(ivec2(floor(uv * vec2(size))), ivec2(0), size - 1);
  vec3 light = vec3(0.0);
  bool there = false;
  for (int i = 0; i < 16; i++) {
    if (i >= n) break;
    if (!lit[i]) continue;
    float value = texelFetch(texels, ivec3(at, i), 0).r;
    uint bits = floatBitsToUint(value);
    bool isNaN = (bits & 0x7f800000u) == 0x7f800000u && (bits & 0x007fffffu) != 0u;
    if (isNaN || (hasNodata && value == nodata)) continue;
    there = true;
    float part = clamp((value - limits[i].x) / (limits[i].y - limits[i].x), 0.0, 1.0);
    light += mapped ? texelFetch(colours, ivec2(int(part * 255.0 + 0.5), 0), 0).rgb : colour[i] * part;
  }
  shown = there ? vec4(min(light, vec3(1.0)), 1.0) : missing();
}`;

// The same hash as ziggurat.display.colours.of_labels.
const LABELS = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2DArray;
uniform usampler2DArray texels;
uniform uint chosen;
in vec2 uv;
out vec4 shown;
void main() {
  ivec2 size = textureSize(texels, 0).xy;
  ivec2 at = clamp(ivec2(floor(uv * vec2(size))), ivec2(0), size - 1);
  uint label = texelFetch(texels, ivec3(at, 0), 0).r;
  if (label == 0u) { shown = vec4(0.0, 0.0, 0.0, 1.0); return; }
  uint hashed = label * 2654435761u;
  float hue = float(hashed >> 16) / 65536.0 * 6.0;
  float saturation = 0.5 + float((hashed >> 8) & 255u) / 510.0;
  float value = 0.7 + float(hashed & 255u) / 850.0;
  vec3 k = mod(vec3(5.0, 3.0, 1.0) + hue, 6.0);
  vec3 found = value * (1.0 - saturation * clamp(min(k, 4.0 - k), 0.0, 1.0));
  shown = vec4(chosen != 0u && chosen != label ? found * 0.3 : found, 1.0);
}`;

export class Renderer {
  constructor(canvas, { keep = false } = {}) {
    const gl = canvas.getContext("webgl2", { antialias: false, alpha: false, preserveDrawingBuffer: keep });
    if (!gl) throw new Error("this browser has no WebGL2, which the picture needs; PNG tiles are served without it");
    this.gl = gl;
    this.canvas = canvas;
    this.image = program(gl, IMAGE);
    this.labels = program(gl, LABELS);
    this.colours = gl.createTexture();
    this.largest = gl.getParameter(gl.MAX_TEXTURE_SIZE);
    gl.bindVertexArray(gl.createVertexArray());
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  }

  setColormap(table) {
    const { gl } = this;
    const bytes = new Uint8Array(256 * 4);
    table.forEach((colour, i) => bytes.set([...colour, 255], 4 * i));
    gl.bindTexture(gl.TEXTURE_2D, this.colours);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
  }

  upload(values, width, height, layers, isLabels) {
    const { gl } = this;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, texture);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D_ARRAY, name, gl.NEAREST);
    const [stored, format, type] = isLabels ? [gl.R32UI, gl.RED_INTEGER, gl.UNSIGNED_INT] : [gl.R32F, gl.RED, gl.FLOAT];
    gl.texImage3D(gl.TEXTURE_2D_ARRAY, 0, stored, width, height, layers, 0, format, type, values);
    return texture;
  }

  drop(texture) { this.gl.deleteTexture(texture); }

  /** Draws tiles in order, each over those before: {texture, place: [left, top, right, bottom], turned, isLabels, layers}. */
  draw(list, look, background) {
    const { gl, canvas } = this;
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(...background, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    let used = null;
    for (const each of list) {
      const wanted = each.isLabels ? this.labels : this.image;
      if (used !== wanted) { used = wanted; this.prepare(used, look, each); }
      gl.activeTexture(gl.TEXTURE0);
      gl.bindTexture(gl.TEXTURE_2D_ARRAY, each.texture);
      gl.uniform4fv(used.place("place"), each.place);
      gl.uniform2fv(used.place("turned"), each.turned);
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
    gl.flush();
  }

  prepare(used, look, each) {
    const { gl, canvas } = this;
    gl.useProgram(used.program);
    gl.uniform2f(used.place("screen"), canvas.width, canvas.height);
    gl.uniform1i(used.place("texels"), 0);
    if (each.isLabels) { gl.uniform1ui(used.place("chosen"), look.chosen >>> 0); return; }
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_2D, this.colours);
    gl.uniform1i(used.place("colours"), 1);
    gl.uniform1i(used.place("n"), Math.min(look.channels.length, each.layers));
    gl.uniform2fv(used.place("limits[0]"), look.channels.flatMap(({ limits: [low, high] }) => [low, high > low ? high : low + 1e-30]));
    gl.uniform3fv(used.place("colour[0]"), look.channels.flatMap(({ colour }) => (colour ?? [255, 255, 255]).map((c) => c / 255)));
    gl.uniform1iv(used.place("lit[0]"), look.channels.map(({ active }) => (active ? 1 : 0)));
    gl.uniform1i(used.place("mapped"), look.mapped ? 1 : 0);
    gl.uniform1i(used.place("hasNodata"), look.nodata === null ? 0 : 1);
    gl.uniform1f(used.place("nodata"), look.nodata ?? 0);
  }
}

function program(gl, fragment) {
  const made = gl.createProgram();
  for (const [type, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
  const places = new Map();
  return { program: made, place: (name) => { if (!places.has(name)) places.set(name, gl.getUniformLocation(made, name)); return places.get(name); } };
}
