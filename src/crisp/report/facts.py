"""What stands above an object's pictures: its name, the certificate's verdict with reasons, its figures."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from crisp.render.overlay import colour_of
from crisp.report.shown import MM, Shown, millimetres
from crisp.results import Truth

# What to add to (certified, right): a verdict is only worth what the truth says of it.
AGREES: dict[tuple[bool, bool], tuple[str, str]] = {
    (True, True): ("good", "and it is right"),
    (True, False): ("bad", "but it is wrong"),
    (False, False): ("", "and it is wrong"),
    (False, True): ("", "although it is right"),
}
NOTHING_CHANGED = ("unimproved", "unsolvable")


def facts(shown: Shown) -> str:
    """The words of one object; all text that comes from outside is escaped."""
    red, green, blue = colour_of(shown.number)
    return f"""<div class="head">
<div class="name"><span class="chip" style="background:rgb({red},{green},{blue})">{shown.number}</span>
<span>{escape(shown.name.replace("_", " "))}</span></div>
<div>{_verdict(shown)}</div>
{_messages(shown)}
</div>
{_figures(shown)}"""


def _verdict(shown: Shown) -> str:
    """The certificate's word; the status where there is none or where there is no estimate to certify."""
    status, certificate = shown.result.status, shown.result.certificate
    if status != "ok" or certificate is None:
        return _badge("good" if status == "ok" else "bad", status.replace("_", " "))
    badge = _badge("good", "certified") if certificate.certified else _badge("doubt", "not certified")
    if shown.right is None:
        return badge
    colour, words = AGREES[certificate.certified, shown.right]
    return f'{badge} <span class="truthful {colour}">{words}</span>'


def _badge(colour: str, text: str) -> str:
    return f'<span class="badge {colour}">{escape(text)}</span>'


def _messages(shown: Shown) -> str:
    result = shown.result
    sentences = [result.message] if result.message else []
    if result.certificate is not None and result.status == "ok":
        sentences += result.certificate.reasons
    if result.correction is not None and result.correction.status in NOTHING_CHANGED:
        sentences.append(f"corrector: {result.correction.reason}")
    if not sentences:
        return ""
    return f'<div class="message">{"<br>".join(escape(sentence) for sentence in sentences)}</div>'


def _figures(shown: Shown) -> str:
    rows: list[tuple[str, str]] = []
    if shown.errors is not None:
        fold = " <i>(symmetric)</i>" if shown.symmetric else ""
        rows.append(("ADD-S", _course(shown, lambda e: e.add_s_m, millimetres)))
        rows.append((f"Rotation{fold}", _course(shown, lambda e: e.rotation_deg, lambda deg: f"{deg:.1f}°")))
        if shown.errors.chamfer_m is not None:
            rows.append(("Chamfer", _course(shown, lambda e: e.chamfer_m, millimetres)))
    if shown.result.diameter_m is not None:
        rows.append(("Diameter", f"{MM * shown.result.diameter_m:.0f} mm"))
    if shown.result.inlier_share is not None:
        rows.append(("Inliers", f"{100 * shown.result.inlier_share:.0f} %"))
    if shown.visible_share is not None:
        rows.append(("Visible", f"{100 * shown.visible_share:.0f} %"))
    cells = "".join(f"<div><dt>{key}</dt><dd>{value}</dd></div>" for key, value in rows)
    return f'<dl class="facts">{cells}</dl>' if cells else ""


def _course(shown: Shown, figure: Callable[[Truth], float | None], written: Callable[[float], str]) -> str:
    """A figure, after what it was before the corrector where that is known."""
    assert shown.errors is not None
    before = None if shown.errors_start is None else figure(shown.errors_start)
    after = figure(shown.errors)
    assert after is not None
    if before is None:
        return written(after)
    return f'<span class="was">{number_of(written(before))} →</span> {written(after)}'


def number_of(text: str) -> str:
    """Without the unit, which follows once."""
    return text.replace(" mm", "").replace("°", "")
