"""Draws latency by length from what peers.py wrote: plot.py results.json -o docs/performance.svg   (standard library)"""
import argparse
import json
import math
import statistics

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 760, 460, 64, 52, 44, 170
COLOURS = {
    "tiankong_fast": "#c0392b", "tiankong_exact": "#e59866", "ov_int8": "#1f618d", "ov_int8w_g128": "#5dade2",
    "ov_fp32": "#7fb3d5", "ort_int8": "#1e8449", "ort_fp32": "#82e0aa", "torch_int8dyn": "#6c3483",
    "torch_fp32": "#bb8fce", "ct2_int8": "#7f8c8d",
}


def medians(records, threads):
    """{engine: {tokens: ms}} of one text at a time."""
    found = {}
    for record in records:
        if record["what"] == "latency" and record["threads"] == threads and record["batch"] == 1:
            for engine, rounds in record["rows"].items():
                times = [time for one in rounds for time in one]
                if times:
                    found.setdefault(engine, {})[record["tokens"]] = statistics.median(times)
    return found


class Scale:
    """A logarithmic axis."""

    def __init__(self, least, most, start, end):
        self.low, self.span, self.start, self.length = math.log(least), math.log(most / least), start, end - start

    def __call__(self, value):
        return self.start + (math.log(value) - self.low) / self.span * self.length


def text(x, y, words, anchor="middle", colour="#555", size=12):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{words}</text>'


def draw(found, heading):
    tokens = sorted({length for row in found.values() for length in row})
    values = [value for row in found.values() for value in row.values()]
    across = Scale(tokens[0], tokens[-1], LEFT, WIDTH - RIGHT)
    up = Scale(min(values) / 1.2, max(values) * 1.2, HEIGHT - BOTTOM, TOP)
    parts = [text(LEFT, 24, heading, "start", "#222", 14)]
    for length in tokens:
        parts.append(f'<path d="M{across(length):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>')
        parts.append(text(across(length), HEIGHT - BOTTOM + 18, length))
    for value in (1, 2, 5, 10, 20, 50, 100, 200, 500):
        if min(values) / 1.2 <= value <= max(values) * 1.2:
            parts.append(f'<path d="M{LEFT} {up(value):.1f}H{WIDTH - RIGHT}" stroke="#eee"/>')
            parts.append(text(LEFT - 8, up(value) + 4, f"{value} ms", "end"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "tokens"))
    lowest = HEIGHT
    for engine, row in sorted(found.items(), key=lambda item: item[1][max(item[1])]):
        colour, ours = COLOURS.get(engine, "#999"), engine.startswith("tiankong")
        points = " ".join(f"{across(length):.1f},{up(value):.1f}" for length, value in sorted(row.items()))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{3 if ours else 1.5}"/>')
        y = min(up(row[max(row)]) + 4, lowest - 14)
        lowest = y
        parts.append(text(WIDTH - RIGHT + 8, y, engine, "start", colour))
    style = 'font-family="system-ui, sans-serif" style="background:#fff"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {style}>' + "".join(parts) + "</svg>\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with open(options.results) as file:
        results = json.load(file)
    machine = results["machine"]
    heading = f"One text, {options.threads} threads, medians: {machine['cpu']}, {machine['cores']} cores, {machine['date']}"
    with open(options.output, "w") as file:
        file.write(draw(medians(results["records"], options.threads), heading))


main()
