"""How the page looks: light, dark and printed. Colours are told apart by people who see few.

The eight are Okabe and Ito's, darker where they stand on white and lighter where on black.
"""

from __future__ import annotations

_LIGHT = """
  color-scheme: light;
  --page: #ffffff; --panel: #f6f7f9; --text: #16191d; --muted: #5c6670; --line: #dfe3e8;
  --bad: #b3261e; --bad-page: #fdf1f0; --link: #0b57a4;
  --k0: #0072b2; --k1: #c65102; --k2: #00805f; --k3: #a3578a;
  --k4: #8a6d00; --k5: #3a8fc4; --k6: #5b5f97; --k7: #6b6b6b;
  --p0: #b4bcc6; --p1: #0072b2; --p2: #d98200;
"""
_DARK = """
  color-scheme: dark;
  --page: #14171a; --panel: #1c2024; --text: #e6e9ec; --muted: #98a2ad; --line: #30363d;
  --bad: #ff8a80; --bad-page: #2b1b1a; --link: #7cb8f0;
  --k0: #56b4e9; --k1: #ee8a4a; --k2: #35c29a; --k3: #dd9ac4;
  --k4: #d8b73c; --k5: #8cc8ee; --k6: #a6a9e0; --k7: #b5b5b5;
  --p0: #59636e; --p1: #56b4e9; --p2: #e8a33d;
"""

STYLE = f"""
:root {{{_LIGHT}}}
@media screen and (prefers-color-scheme: dark) {{ :root {{{_DARK}}} }}
* {{ box-sizing: border-box; }}
body {{
  margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}}
main, header, footer {{ max-width: 1200px; margin: 0 auto; padding: 0 24px; }}
header {{ padding-top: 36px; }}
.kicker {{ color: var(--muted); font-size: 13px; margin: 0 0 10px; }}
h1 {{
  font-size: 25px; line-height: 1.32; font-weight: 620; letter-spacing: -.008em; margin: 0 0 10px;
  max-width: 62ch; overflow-wrap: anywhere;
}}
h2 {{ font-size: 17px; font-weight: 620; margin: 44px 0 2px; }}
h3 {{ font-size: 14px; font-weight: 600; margin: 20px 0 4px; overflow-wrap: anywhere; }}
p {{ margin: 6px 0; max-width: 96ch; overflow-wrap: anywhere; }}
.lead {{ font-size: 16px; }}
.note, figcaption {{ color: var(--muted); font-size: 13px; margin: 2px 0 10px; max-width: 110ch; }}
a {{ color: var(--link); }}
code {{ font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }}
.command {{
  display: block; background: var(--panel); border-radius: 6px; padding: 10px 14px; margin: 8px 0;
  white-space: pre-wrap; overflow-wrap: anywhere;
}}
.bad {{ color: var(--bad); }}
.box {{
  border-left: 4px solid var(--bad); background: var(--bad-page); padding: 10px 16px;
  margin: 16px 0; border-radius: 0 6px 6px 0;
}}
.box p {{ margin: 2px 0; }}
.box strong {{ color: var(--bad); }}
ul {{ margin: 4px 0; padding-left: 20px; }}
li {{ margin: 2px 0; overflow-wrap: anywhere; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }}
.results {{ width: 100%; }}
caption {{ text-align: left; }}
th, td {{
  padding: 6px 0 6px 16px; text-align: right; vertical-align: baseline; white-space: nowrap;
}}
th {{ font-weight: 550; }}
thead th {{
  color: var(--muted); font-size: 12.5px; white-space: normal; vertical-align: bottom;
  border-bottom: 1px solid var(--line);
}}
tbody.row {{ border-bottom: 1px solid var(--line); }}
tbody.target th {{
  text-align: left; padding: 18px 0 5px; border-bottom: 1px solid var(--line); font-weight: 620;
}}
th[scope=row] {{ text-align: left; white-space: normal; overflow-wrap: anywhere; padding-left: 0; }}
.results th[scope=row] {{
  min-width: 210px; padding-left: 17px; text-indent: -17px; font-weight: 500;
  overflow-wrap: normal;
}}
.void {{ color: var(--muted); }}
.void .time {{ text-decoration: line-through; }}
td.left, th.left {{ text-align: left; white-space: normal; }}
td.words {{ text-align: left; white-space: normal; min-width: 190px; }}
.interval {{ color: var(--muted); }}
.chip {{
  display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 8px;
  text-indent: 0; background: var(--c);
}}
tr.doubts td {{
  text-align: left; white-space: normal; padding: 0 0 8px 17px; color: var(--muted);
  font-size: 12.5px; line-height: 1.45;
}}
tr.doubts .bad, td .bad {{ font-weight: 600; }}
.gain {{ font-weight: 600; }}
.facts th, .facts td {{
  text-align: left; white-space: normal; padding: 4px 24px 4px 0; vertical-align: top;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere;
}}
.facts th {{ color: var(--muted); font-weight: 450; white-space: nowrap; }}
figure {{ margin: 0 0 8px; }}
details {{ margin: 10px 0; }}
summary {{ cursor: pointer; font-weight: 550; }}
footer {{ color: var(--muted); font-size: 13px; padding-top: 40px; padding-bottom: 48px; }}
svg {{ display: block; width: 100%; min-width: 860px; height: auto; }}
svg text {{ font-size: 12px; fill: var(--text); font-variant-numeric: tabular-nums; }}
svg .over {{ paint-order: stroke; stroke: var(--page); stroke-width: 3px; stroke-linejoin: round; }}
svg .small {{ font-size: 11px; fill: var(--muted); }}
svg .axis {{ font-size: 11.5px; fill: var(--muted); }}
svg .bad {{ fill: var(--bad); font-weight: 600; }}
svg .grid {{ stroke: var(--line); stroke-width: 1; }}
svg .base {{ stroke: var(--line); }}
svg .band {{ fill: var(--panel); }}
.c0 {{ --c: var(--k0); }} .c1 {{ --c: var(--k1); }} .c2 {{ --c: var(--k2); }}
.c3 {{ --c: var(--k3); }} .c4 {{ --c: var(--k4); }} .c5 {{ --c: var(--k5); }}
.c6 {{ --c: var(--k6); }} .c7 {{ --c: var(--k7); }}
svg .invalid {{ opacity: .45; }}
svg .shape {{ fill: var(--c); fill-opacity: .55; }}
svg .range {{ stroke: var(--c); stroke-width: 1; }}
svg .interval {{ stroke: var(--c); stroke-width: 3; }}
svg .thin {{ stroke-width: 1.5; }}
svg .dot, svg .arrow {{ fill: var(--c); }}
svg .hollow {{ fill: var(--page); stroke: var(--c); stroke-width: 1.6; }}
svg .median {{ stroke: var(--c); stroke-width: .7; stroke-dasharray: 3 3; opacity: .7; }}
svg path.spread {{ stroke: var(--c); stroke-width: 1.2; opacity: .38; fill: none; }}
svg path.extreme {{ stroke: var(--c); stroke-width: 1.3; opacity: .55; fill: none; }}
svg path.middle {{ stroke: var(--c); stroke-width: 1.8; fill: none; }}
svg path.warm {{ stroke: var(--muted); }}
svg path.warm.spread {{ opacity: .3; }}
svg .bubble {{ fill: var(--c); fill-opacity: .45; stroke: var(--c); stroke-width: 1.4; }}
svg .leader {{ stroke: var(--muted); stroke-width: .8; fill: none; }}
svg .bar {{ fill: var(--c); }}
svg .whisker {{ stroke: var(--text); stroke-width: 1.2; opacity: .7; }}
svg .p0 {{ fill: var(--p0); }} svg .p1 {{ fill: var(--p1); }} svg .p2 {{ fill: var(--p2); }}
svg .curve {{ stroke: var(--k0); stroke-width: 1.6; fill: none; stroke-linejoin: round; }}
svg .throttle {{ fill: var(--bad); fill-opacity: .22; }}
svg g:hover > .shape, svg g.run:hover > .spread {{ opacity: 1; fill-opacity: .8; }}
@media print {{
  body {{ font-size: 10.5pt; }}
  main, header, footer {{ max-width: none; padding: 0; }}
  h2 {{ break-after: avoid; }}
  figure, tbody.row, .box {{ break-inside: avoid; }}
  .wide {{ overflow: visible; }}
  svg {{ min-width: 0; }}
  table {{ font-size: 8.5pt; }}
  th, td {{ padding-left: 8px; }}
  details::details-content {{ content-visibility: visible; block-size: auto; }}
  * {{ print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
}}
"""
