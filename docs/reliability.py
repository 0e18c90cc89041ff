"""The table of docs/reliability.md: what is promised, the tests that show it, what was measured, and what is not shown yet."""

# ruff: noqa: E501  sentences of a table

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent / "reliability.md"


@dataclass(frozen=True)
class Promise:
    """One promise; `tests` are node ids without parameters, `open` is what no test shows yet."""

    name: str
    says: str
    tests: tuple[str, ...]
    measured: str = ""
    open: str = ""


CLUSTERS = "tests/test_clusters.py::"
PARTS = "tests/test_parts.py::"
KILLS = "tests/test_kills.py::"
STORES = "tests/test_builder_stores.py::"
SERVERS = "tests/storage/test_servers.py::"
JOURNAL = "tests/test_journal.py::"
CORRUPT = "tests/differential/test_corruption.py::"
TARGETS = "tests/test_builder_targets.py::"

PROMISES = (
    Promise(
        "R1",
        "kill -9 at any moment: no metadata names a level that is not whole, and every chunk that is there decodes.",
        (f"{KILLS}test_some_kills_at_any_moment", f"{KILLS}test_a_hundred_kills_at_any_moment"),
        "a hundred SIGKILLs each over plain and sharded builds (`make prove`), four each in the suite",
    ),
    Promise(
        "R2",
        "A power cut at any moment: the same. Chunks are on the disk before a document that promises them, and a restart goes on from what was synced.",
        (f"{KILLS}test_power_cuts_at_some_moments", f"{KILLS}test_power_cuts_at_every_moment", f"{JOURNAL}test_after_a_power_cut_only_what_was_synced_counts"),
        "the writes, renames and syncs of a build as strace saw them, cut after every call (`make prove`), with nothing and with three random parts of what was not synced",
        "power is cut in a model of the disk that orders nothing but what was synced; no machine was switched off",
    ),
    Promise(
        "R3",
        "The same command goes on after an interruption and ends in the same bytes, on every store; less than a tenth of what was finished is made again.",
        (
            f"{JOURNAL}test_a_stopped_build_goes_on_and_ends_in_the_same_bytes",
            f"{JOURNAL}test_a_finished_root_is_not_read_again",
            f"{STORES}test_a_stopped_build_goes_on_in_any_store",
            f"{KILLS}test_a_hundred_kills_at_any_moment",
        ),
        "chunks stored and not yet noted when a build was killed: below a tenth, asserted over all kills of plain builds",
        "zip archives are read, not written",
    ),
    Promise(
        "R4",
        "Going on is refused when the method, chunks, codecs or the source are others than before.",
        (
            f"{JOURNAL}test_other_options_or_another_source_are_refused_until_the_old_build_is_gone",
            f"{STORES}test_other_options_are_refused_until_the_old_build_is_gone",
            f"{PARTS}test_changed_options_and_sources_are_refused",
        ),
    ),
    Promise(
        "R5",
        "Level 0 and the source are never written to.",
        (
            f"{TARGETS}test_foreign_attributes_and_neighbours_survive",
            f"{TARGETS}test_a_target_that_holds_the_source_is_refused",
            f"{STORES}test_levels_are_added_in_place_and_replaced",
        ),
    ),
    Promise(
        "R6",
        "Metadata comes last and in one step: a reader that looks all the time sees no multiscale, or a whole one.",
        (f"{JOURNAL}test_metadata_appears_last", f"{STORES}test_a_reader_never_sees_half_a_multiscale"),
    ),
    Promise(
        "R7",
        "Every chunk and every shard has one writer, by the plan, and is stored once.",
        (
            f"{STORES}test_each_object_is_written_once_and_nothing_but_the_journal_is_listed",
            "tests/chunkio/test_arrays.py::test_a_shard_is_written_once_and_its_index_read_once",
        ),
    ),
    Promise(
        "R8",
        "Two builds on one target: the second is refused by a sentence that names the first.",
        (f"{JOURNAL}test_two_builds_on_one_target", f"{STORES}test_two_builds_on_one_store", f"{JOURNAL}test_a_lock_in_a_store_that_was_left_is_taken_over"),
        "",
        "in a store, a holder that stood still for a minute loses its lock; both builds are then of one plan and write the same bytes, which no test runs into",
    ),
    Promise(
        "R9",
        "A store that fails at any operation is an error, nothing is published, and the build goes on when the store is well: full disks, refusals, lost servers.",
        (
            f"{STORES}test_a_failure_at_any_operation_is_an_error_and_the_build_goes_on",
            f"{STORES}test_a_failure_at_every_operation_is_an_error_and_the_build_goes_on",
            f"{STORES}test_overwriting_that_fails_anywhere_ends_in_the_same_bytes",
            f"{JOURNAL}test_a_full_disk_is_one_sentence_and_the_build_can_go_on",
            "tests/test_cli.py::test_a_read_only_file_system_is_one_sentence",
            f"{SERVERS}test_a_server_that_stays_down_is_one_sentence_and_the_build_goes_on",
        ),
        "every store operation of four kinds of build fails once (`make prove`)",
        "a limit on memory (RLIMIT_AS) is not tried",
    ),
    Promise(
        "R10",
        "Only what a store says is not there is missing. Refusals, failures of servers and lost connections are tried five times within about three seconds, then fail.",
        (
            "tests/storage/test_stores.py::test_a_store_that_fails_is_never_a_missing_chunk",
            "tests/storage/test_stores.py::test_a_web_server_that_refuses_is_an_error_and_only_404_is_missing",
            f"{SERVERS}test_latency_and_every_twentieth_request_refused_change_nothing_but_time",
            f"{CORRUPT}test_a_shard_that_is_cut_off_is_an_error_never_missing",
        ),
        "",
        "missing chunks of a source are fill, and are not counted or warned of; reading without credentials (`AWS_SKIP_SIGNATURE=true`) is not tried",
    ),
    Promise(
        "R11",
        "Samples do not depend on chunks, shards, threads or tasks.",
        ("tests/test_builder.py::test_samples_do_not_depend_on_chunks", "tests/test_builder.py::test_threads_and_processes_write_the_same_files"),
    ),
    Promise(
        "R12",
        "Edges use only samples that are there; every level says its scale and translation exactly.",
        ("tests/test_builder.py::test_placement_error_is_zero_in_300_builds",),
    ),
    Promise(
        "R13",
        "Sums do not overflow, means are rounded half to even, labels gain no value.",
        ("tests/test_reductions.py::test_integer_means_are_exact_for_every_size_and_factor",),
    ),
    Promise(
        "R14",
        "Foreign attributes and unknown keys survive upgrade and conversion.",
        ("tests/test_conversion.py::test_unknown_keys_at_every_depth_survive_every_upgrade",),
    ),
    Promise(
        "R15",
        "A check sum per chunk on request (`codecs='zstd 3 crc32c'`): a flipped bit is an error when it is read.",
        (f"{CORRUPT}test_every_flipped_bit_is_caught_with_crc32c",),
        "",
        "digests per level that `check` verifies are not there",
    ),
    Promise(
        "R16",
        "Parts of a build (`--part 7/100`, then `--finish`) may be any number, come in any order, twice, and be killed: the bytes are those of one build.",
        (
            f"{PARTS}test_parts_in_any_order_some_twice_some_stopped",
            f"{PARTS}test_parts_are_beside_one_another_and_alone_beside_none",
            f"{PARTS}test_some_parts_in_processes_that_are_killed",
            f"{PARTS}test_a_hundred_parts_in_processes_that_are_killed",
            f"{PARTS}test_machines_with_other_cores_and_memory_go_on_with_the_plan_that_was_begun",
        ),
        "125 runs of a hundred parts each, plain and sharded, killed at random times (`make prove`)",
        "several machines are several processes of one, and a plan that is fitted to another machine",
    ),
    Promise(
        "R17",
        "A worker that is killed in the middle of a build, and a task that fails, change no byte; a store that workers do not share is refused.",
        (
            f"{CLUSTERS}test_a_killed_worker_changes_nothing",
            f"{CLUSTERS}test_a_task_that_fails_is_tried_again_with_clean_hands",
            f"{CLUSTERS}test_a_pool_that_lost_a_worker_is_one_sentence_and_the_build_goes_on",
            f"{CLUSTERS}test_a_store_that_workers_do_not_share_is_refused",
            f"{CLUSTERS}test_the_scheduler_holds_a_window_of_tasks",
            f"{CLUSTERS}test_the_memory_of_the_scheduler_does_not_grow_with_the_tasks",
        ),
        "two worker processes of dask, one of them killed with SIGKILL",
        "the memory of the scheduler is followed up to 10^4 tasks (`make prove`), not 10^6; a network that is cut, clusters of several machines and adaptive ones are not tried",
    ),
    Promise(
        "S1",
        "Paths in documents stay below their group.",
        ("tests/test_node.py::test_hostile_paths_are_refused", "tests/chunkio/test_arrays.py::test_paths_that_leave_the_store_are_refused"),
    ),
    Promise(
        "S2",
        "Links that leave the folder are refused.",
        (
            "tests/test_node.py::test_links_that_leave_the_folder_are_refused",
            "tests/layouts/test_hostile.py::test_links_that_lead_nowhere_round_or_out_are_refused",
        ),
    ),
    Promise(
        "S3",
        "What a document says lies elsewhere is opened only when links are allowed, and never in circles.",
        (
            "tests/test_node.py::test_a_link_in_a_document_is_followed_only_where_links_are_allowed",
            "tests/layouts/test_xcube.py::test_links_are_followed_only_when_allowed_and_never_in_circles",
        ),
    ),
    Promise(
        "S4",
        "Opening local data opens no connection.",
        ("tests/test_cli.py::test_help_and_looking_at_local_data_import_nothing_heavy",),
        "",
        "no test runs the hostile cases without a network",
    ),
    Promise(
        "S5",
        "JSON is strict, limited in size and depth; what is written is strict.",
        (
            "tests/test_node.py::test_what_is_no_json_is_refused_with_its_place",
            "tests/test_node.py::test_depth_is_limited",
            "tests/test_node.py::test_size_and_length_of_numbers_are_limited",
            "tests/test_node.py::test_dumps_refuses_what_json_does_not_have",
        ),
    ),
    Promise(
        "S6",
        "Bombs and headers that lie are refused before memory is taken.",
        (
            f"{CORRUPT}test_a_bomb_costs_no_memory",
            f"{CORRUPT}test_a_zstd_frame_that_states_a_terabyte_is_refused_by_its_header",
            f"{CORRUPT}test_blosc_headers_that_lie_are_refused",
            f"{CORRUPT}test_a_chunk_of_a_terabyte_is_refused_on_opening",
            f"{CORRUPT}test_mutated_chunks_never_crash_the_process",
        ),
    ),
    Promise(
        "S7",
        "Nothing is unpickled; codecs outside the list that may run are refused, at any depth.",
        (f"{CORRUPT}test_pickle_and_objects_are_refused_before_anything_is_read", f"{CORRUPT}test_unknown_codecs_of_v3_are_refused_at_any_depth"),
    ),
    Promise(
        "S8",
        "Huge shapes and 10^12 chunks cost nothing to inspect or plan.",
        ("tests/test_node.py::test_huge_arrays_cost_nothing_to_describe", "tests/test_planner.py::test_huge_arrays_cost_nothing_to_plan"),
    ),
    Promise(
        "S9",
        "Hostile TIFF and XML are one sentence.",
        (
            "tests/sources/test_tiffs.py::test_hostile_directories_are_refused_in_one_sentence",
            "tests/sources/test_tiffs.py::test_damaged_files_raise_what_is_documented_or_are_read",
            "tests/sources/test_tiffs.py::test_xml_with_entities_is_refused",
            "tests/layouts/test_n5_layouts.py::test_hostile_xml_is_refused",
        ),
    ),
    Promise(
        "S10",
        "Hostile zip archives are one sentence.",
        (
            "tests/storage/test_zips.py::test_an_archive_that_lies_is_one_sentence",
            "tests/storage/test_zips.py::test_a_bomb_is_refused_before_it_is_inflated",
            "tests/storage/test_zips.py::test_no_damage_raises_anything_but_our_errors",
        ),
    ),
    Promise(
        "S11",
        "Names reach terminals and pages escaped.",
        ("tests/test_cli.py::test_no_name_reaches_the_terminal_as_a_control_code", "tests/test_pyramid.py::test_names_cannot_inject_control_codes_or_markup"),
    ),
    Promise(
        "S12",
        "Exit codes are as documented, an error is one sentence, and no traceback is shown without `--debug`.",
        ("tests/test_cli.py::test_debug_shows_the_traceback_and_the_sentence", "tests/test_cli.py::test_a_missing_place_is_one_sentence_and_exit_2"),
    ),
)

HEAD = """# What may go wrong, and what happens then

Generated by `make docs` from `docs/reliability.py`; a test checks that every test that is named here exists. R: reliability, S: security.

## Stores

A build keeps a journal, a lock and a way back in every store that can list and delete keys and put a key that is not there yet.

| store | how it is named | a build into it |
|---|---|---|
| folder | a path, `file://`, `zarr.storage.LocalStore` | journal, resume, `overwrite` by exchange, executors |
| memory | a dict, `zarr.storage.MemoryStore`, obstore's | the same; `overwrite` removes first; executors of threads |
| S3, Azure, Google | `s3://`, `az://`, `gs://` with credentials from the environment (extra `cloud`), an obstore store, `zarr.storage.FsspecStore` | the same; executors of any kind |
| zip, http(s) | a path, a URL | read only |
| any other | an object with `get`, `put`, `size` | without a journal: a build that stops begins again |

`AWS_ENDPOINT_URL` (or Azure's `AZURE_STORAGE_ENDPOINT`) names another server. The tests run moto (S3), azurite
(Azure) and gcp-storage-emulator (Google, through fsspec), and a proxy that counts requests and refuses some.

## Durability

| `durability` | what is on the disk, and when | price |
|---|---|---|
| `"rename"` (default) | every document at once; all of a finished root with one sync of the file system, at most one a second; all before the multiscale is published | 0.6 s |
| `"fsync"` | also every chunk, when it is written | 1.9 to 2.2 s |
| `"none"` | when the system sees fit; kills are survived, power cuts are not | 0.4 to 0.6 s |

Measured once, two runs each, on a virtual disk (2 cores): 108 MiB of uint16 built into 252 chunks of 64^3, 104 MiB stored.

## Promises

"""


def page() -> str:
    """Returns the page as Markdown."""
    lines = ["| | promise | shown by | measured | not shown yet |\n|---|---|---|---|---|\n"]
    for p in PROMISES:
        tests = "<br>".join(f"`{t}`" for t in p.tests)
        lines.append(f"| {p.name} | {p.says} | {tests} | {p.measured} | {p.open} |\n")
    return HEAD + "".join(lines)


def pages() -> dict[Path, str]:
    """Returns the page by its place."""
    return {PAGE: page()}
