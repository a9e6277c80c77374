import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgekit_benchmarks.doubts import INVALID
from edgekit_benchmarks.report_csv import to_csv
from edgekit_benchmarks.report_html import to_html
from edgekit_benchmarks.report_markdown import to_markdown
from edgekit_benchmarks.result import BenchmarkResult, FailureRecord, TargetRecord
from edgekit_benchmarks.simulated import FACTS, Noise, Simulated, simulated

VOID = {"meta", "br", "wbr", "img", "input", "hr", "link"}
NASTY = "<script>alert(1)</script>\"'&\x1b[31m\U0001f600.tflite"


class Page(HTMLParser):
    """What a browser would see; every tag must be closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))


def result(*rows: dict[str, Any], **more: Any) -> BenchmarkResult:
    """Rows with further fields."""
    made = (Simulated(noise=Noise(tail=0), more=fields) for fields in rows)
    return replace(simulated(*made), **more)


def named(path: str, **more: Any) -> dict[str, Any]:
    return {"path": path, **more}


def test_the_page_needs_nothing_else_and_runs_nothing() -> None:
    page = Page(to_html(result({}, named("b.tflite"))))
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    for _, attributes in page.tags:
        assert not {"src", "href", "srcset", "action"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
    style = to_html(result({})).split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_a_policy_forbids_what_the_page_does_not_need() -> None:
    assert "default-src 'none'" in to_html(result({}))


def test_the_same_result_gives_the_same_page() -> None:
    made = result({}, named("b.tflite"))
    again = BenchmarkResult.from_dict(json.loads(made.to_json()))
    assert to_html(again) == to_html(made)


def test_names_doubts_and_errors_are_text() -> None:
    made = result(
        named(NASTY, doubts=(NASTY,), runtime=NASTY, operators=({"name": NASTY, "p50_ns": 5},)),
        named("b.tflite"),
        command=("edgekit", "bench", NASTY),
        settings={NASTY: NASTY},
        failures=(FailureRecord(path=NASTY, target=NASTY, threads=1, error=NASTY),),
    )
    made = replace(made, targets={"local": TargetRecord(url=NASTY, facts={"model": NASTY})})
    text = to_html(made)
    assert "<script" not in text
    assert "\x1b" not in text
    page = Page(text)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "<script>alert(1)</script>\"'&\N{REPLACEMENT CHARACTER}[31m\U0001f600" in page.text


def test_charts_are_told_to_who_does_not_see_them() -> None:
    page = Page(to_html(result({}, named("b.tflite"))))
    charts = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(charts) >= 5
    for chart in charts:
        assert chart["role"] == "img"
        assert "b.tflite" in (chart["aria-label"] or "") or "mnist" in (chart["aria-label"] or "")


def test_cells_of_headings_say_what_they_head() -> None:
    page = Page(to_html(result({}, named("b.tflite"))))
    heads = [attributes for tag, attributes in page.tags if tag == "th"]
    assert heads
    assert all(head["scope"] in {"col", "row", "rowgroup"} for head in heads)


def test_invalid_rows_are_marked_with_the_reason_on_top() -> None:
    made = result({}, named("b.tflite", doubts=(f"{INVALID}too few",), valid=False))
    text = to_html(made)
    assert "b.tflite: too few" in text.split('id="results"')[0]
    assert 'class="void"' in text


def test_emulated_targets_show_no_time() -> None:
    made = result({}, named("b.tflite"))
    doubts = (f"{INVALID}this is an emulator",)
    target = TargetRecord(url="qemu", emulated=True, doubts=doubts, valid=False, facts=FACTS)
    page = Page(to_html(replace(made, targets={"local": target})))
    cells = [text for text in page.texts if text == "emulated: not a timing"]
    assert len(cells) == 2
    assert "svg" not in {tag for tag, _ in page.tags}
    told = page.text.split("How it was measured")[0]
    assert not re.search(r"\d (ns|µs|ms|s)\b", told)
    assert "INVALID" not in told


def test_few_processes_do_not_claim_95_percent() -> None:
    made = simulated(Simulated(processes=3))
    assert "only 75 %, of few processes, confidence" in Page(to_html(made)).text


def test_an_interval_in_the_headline_stays_in_one_line() -> None:
    head = to_html(result({})).split("<h1")[1].split("</h1>")[0]
    assert re.search(r"\[[\d.,]+&nbsp;[\d.,]+\]", head)
    assert not re.search(r"\[[\d.,]+ [\d.,]+\]", head)


def test_a_result_without_rows_says_what_failed() -> None:
    failed = FailureRecord(path="b.onnx", target="local", threads=2, error="b.onnx: no; convert it")
    page = Page(to_html(replace(simulated(), failures=(failed,))))
    assert "Nothing was measured." in page.text
    assert "b.onnx, 2 threads on local: b.onnx: no; convert it" in page.text


def test_accuracy_the_whole_way_and_temperature_are_shown_where_known() -> None:
    accuracy = {"metric": "accuracy", "value": 0.912, "low": 0.9, "high": 0.92}
    watch = tuple(
        {"t_ns": i * 10**9, "phase": "steady", "temperature_c": 50 + i, "throttled": 4 * (i > 3)}
        for i in range(6)
    )
    made = result(
        {"accuracy": accuracy, "preprocess_ns": 2e6, "end_to_end_ns": 9e6},
        named("b.tflite", accuracy=accuracy),
    )
    target = TargetRecord(url="pi4", facts=FACTS, watch=watch)
    page = Page(to_html(replace(made, targets={"local": target})))
    assert "91.2 [90.0, 92.0]" in page.text.replace("\xa0", " ")
    assert "end to end, ms" in page.text
    assert "temperature, °C" in page.text
    assert "throttled, from 4 s to 5 s" in page.text


def test_without_these_there_is_no_place_for_them() -> None:
    text = Page(to_html(result({}, named("b.tflite")))).text
    for absent in ("accuracy", "end to end", "State of the machine", "Operators"):
        assert absent not in text


def test_an_accuracy_that_is_no_share_is_left_out() -> None:
    made = result({"accuracy": {"value": 17.0}}, named("b.tflite"))
    assert "accuracy" not in Page(to_html(made)).text
    assert "accuracy" not in to_markdown(made)


def test_many_rows_with_many_samples_stay_below_a_megabyte() -> None:
    rows = [
        Simulated(name=f"model{i}", samples=1000, median_ns=15e3 * 2**i, seed=i) for i in range(24)
    ]
    assert len(to_html(simulated(*rows))) < 1_000_000


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
FACT = st.sampled_from([*FACTS, "temperature_c", "runtimes", "memory_bytes", "swap", "load"])
LOOK = st.dictionaries(
    st.sampled_from(["t_ns", "phase", "temperature_c", "frequency_khz", "throttled", "load_1m"]),
    ANYTHING,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    facts=st.dictionaries(FACT, ANYTHING),
    watch=st.lists(LOOK, max_size=4),
    tries=ANYTHING,
    operator=st.dictionaries(
        st.sampled_from(["name", "operator", "ns", "interval_ns", "samples_ns"]), ANYTHING
    ),
    accuracy=st.dictionaries(st.sampled_from(["metric", "value", "low", "high"]), ANYTHING),
)
@example(facts={}, watch=[], tries=None, operator={}, accuracy={"value": 1.7e306})
@example(facts={}, watch=[], tries=None, operator={}, accuracy={"value": 10**400, "low": 0.5})
@example(facts={}, watch=[], tries=0, operator={}, accuracy={"value": 0, "low": 0, "high": 5e-322})
@example(
    facts={"load": -(10**400)},
    watch=[
        {"t_ns": 0, "temperature_c": -1.7e308, "load_1m": 1e-320},
        {"t_ns": 1.7e308, "temperature_c": 1.7e308, "load_1m": 0},
        {"t_ns": 1e29, "temperature_c": 9e29, "load_1m": 0},
        {"t_ns": -1e29, "temperature_c": -9e29, "load_1m": 0},
    ],
    tries=None,
    operator={"ns": 5e-324},
    accuracy={},
)
def test_whatever_stands_in_a_result_a_page_is_made(
    facts: dict[str, Any],
    watch: list[dict[str, Any]],
    tries: Any,
    operator: dict[str, Any],
    accuracy: dict[str, Any],
) -> None:
    row = Simulated(processes=2, samples=3, more={"operators": (operator,), "accuracy": accuracy})
    target = TargetRecord(url="local", facts=facts, watch=tuple(watch))
    made = replace(
        simulated(row, replace(row, name="b")),
        targets={"local": target},
        settings={"tries": tries, "operators": tries},
    )
    Page(to_html(made))
    to_markdown(made).encode()
    to_csv(made).encode()
