"""The report's style sheet."""

CSS = """
:root { --ink: #16202b; --soft: #5b6776; --line: #e2e6eb; --paper: #f4f5f7; --good: #14804a;
  --bad: #b3261e; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink); line-height: 1.5; -webkit-text-size-adjust: 100%;
  font: 16px/1.5 -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1320px; margin: 0 auto; padding: 36px 28px 56px; }
h1 { font-size: 34px; line-height: 1.15; letter-spacing: -.02em; margin: 0 0 8px; font-weight: 700; }
h2 { font-size: 21px; letter-spacing: -.01em; margin: 44px 0 12px; font-weight: 650; }
.lead { color: var(--soft); max-width: 76ch; margin: 0; font-size: 17px; }
.lead b { color: var(--ink); font-weight: 600; }
.tiles { display: flex; flex-wrap: wrap; margin: 24px 0; border: 1px solid var(--line);
  border-radius: 12px; overflow: hidden; }
.tile { flex: 1 1 150px; padding: 14px 20px; box-shadow: 1px 1px 0 var(--line); }
.tile b { display: block; font-size: 27px; line-height: 1.2; letter-spacing: -.02em; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.tile small { font-size: 15px; letter-spacing: 0; font-weight: 500; color: var(--soft); }
.tile span { color: var(--soft); font-size: 14px; }
.scene { display: grid; grid-template-columns: minmax(0, 2.06fr) minmax(0, 1fr); gap: 16px; }
.inputs { display: grid; gap: 12px; align-content: space-between; }
figure { margin: 0; }
figure img { display: block; width: 100%; border-radius: 10px; }
figcaption { color: var(--soft); font-size: 13.5px; margin-top: 5px; line-height: 1.4; }
.x, .y, .z { font-weight: 700; } .x { color: #e62424; } .y { color: #178a2c; } .z { color: #245af0; }
.tile em { font-style: normal; font-weight: 650; } em.bad { color: var(--bad); }
.card { padding: 16px 0 18px; border-top: 1px solid var(--line); }
.head { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 22px; margin-bottom: 6px; }
.name { display: flex; align-items: center; gap: 10px; font-size: 18px; font-weight: 650;
  overflow-wrap: anywhere;
  line-height: 1.25; }
.chip { flex: none; width: 28px; height: 28px; border-radius: 50%; color: #fff; font-size: 14px;
  font-weight: 700;
  display: grid; place-items: center; }
.badge { display: inline-block; padding: 1px 10px; border-radius: 99px; font-size: 14px;
  font-weight: 650; }
.badge.good { background: #e4f4eb; color: var(--good); } .badge.bad { background: #fbe9e7;
  color: var(--bad); } .badge.doubt { background: #fdf1d8; color: #8a5a00; }
.truthful { font-size: 14px; color: var(--soft); } .truthful.good { color: var(--good); }
.truthful.bad { color: var(--bad); font-weight: 650; }
.message { flex: 1 1 340px; font-size: 14.5px; line-height: 1.4; }
.facts { margin: 0 0 10px; display: flex; flex-wrap: wrap; gap: 1px 26px; font-size: 14.5px;
  font-variant-numeric: tabular-nums; }
.facts div { display: flex; gap: 7px; }
.facts dt { color: var(--soft); } .facts dd { margin: 0; font-weight: 600; }
.facts i { font-style: normal; font-size: 12.5px; } .was { color: var(--soft); font-weight: 500; }
.legend { margin: -4px 0 14px; color: var(--soft); font-size: 14.5px; }
.legend span { white-space: nowrap; }
.legend i { display: inline-block; width: 150px; height: 11px; border-radius: 6px; margin: 0 8px; }
.views { display: grid; grid-template-columns: repeat(6, minmax(0, 200px)); gap: 10px; }
.views.compared { grid-template-columns: repeat(8, minmax(0, 1fr)); }
.views figure { text-align: center; }
.views img { aspect-ratio: 1; object-fit: contain; background: var(--paper); border-radius: 8px; }
.views .truth img { background: #fff; }
.views .pixels img { image-rendering: pixelated; }
.columns { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0 48px; }
table { border-collapse: collapse; width: 100%; font-size: 15px; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 13.5px; }
th, td { padding: 7px 0; border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; padding-left: 16px; white-space: nowrap; }
td.bar { width: 34%; padding-left: 20px; } td.bar div { height: 9px; border-radius: 5px;
  background: #2684db; min-width: 2px; }
td.value { overflow-wrap: anywhere; padding-left: 16px; } td.key { color: var(--soft);
  white-space: nowrap; vertical-align: top; }
.notes { color: var(--soft); font-size: 14px; max-width: 100ch; } .notes b { color: var(--ink);
  font-weight: 600; }
code { font: 13px/1.4 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
@media (max-width: 900px) {
  main { padding: 22px 16px 40px; } h1 { font-size: 27px; } .lead { font-size: 16px; }
  .scene, .columns { grid-template-columns: minmax(0, 1fr); }
  .inputs { grid-template-columns: 1fr 1fr; align-content: start; }
  .views, .views.compared { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .tile { flex-basis: 44%; }
}
@media print { .card { break-inside: avoid; } }
"""
