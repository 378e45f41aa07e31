/**
 * Draws what a long run has measured, as SVG: small, readable on light and dark pages, without a browser
 * (ECharts renders to text).
 */

import * as echarts from "echarts";
import { fitLine, type Line, type Point, thin } from "./soak_judgement.ts";
import type { Sample, Soaked } from "./soak_run.ts";

/** Points of one curve: two pixels each. */
const POINTS_MAX = 300;
const WIDTH = 760;
const PANEL_HEIGHT = 190;
/** Of a panel: what is above and below its curves. */
const [TITLE_HEIGHT, AXIS_HEIGHT] = [34, 36];
const LEGEND_HEIGHT = 26;

/** In the middle between black and white, so that both backgrounds will do. */
const COLORS = ["#2f81f7", "#d1701d", "#2da44e", "#a475f9", "#e5534b", "#0e9aa7", "#b58900"];
const INK = "#57606a";
const GRID = "#8c959f";
/** Text is the one thing that a middle grey is too faint for. */
const STYLE = "<style>@media (prefers-color-scheme: dark) { text { fill: #c9d1d9 } }</style>";

interface Curve {
  readonly name: string;
  readonly points: readonly Point[];
  /** What stands for many points that are drawn as one. */
  readonly by: "mean" | "max";
  readonly isDashed?: boolean;
}

interface Panel {
  readonly title: string;
  readonly curves: readonly Curve[];
  readonly isLogarithmic?: boolean;
}

/** As many digits as can be seen. */
const round = (value: number) => Number(value.toPrecision(4));

function draw(
  panels: readonly Panel[],
  { legend }: { readonly legend: readonly string[] },
): string {
  const top = legend.length > 0 ? LEGEND_HEIGHT : 0;
  const height = top + panels.length * PANEL_HEIGHT;
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height });
  const text = { color: INK, fontSize: 12 };
  const line = { lineStyle: { color: GRID, opacity: 0.3 } };
  const names = [...new Set(panels.flatMap(({ curves }) => curves.map(({ name }) => name)))];
  chart.setOption({
    animation: false,
    backgroundColor: "transparent",
    legend: { show: legend.length > 0, data: [...legend], top: 0, textStyle: text },
    title: panels.map(({ title }, at) => ({
      text: title,
      left: 8,
      top: top + at * PANEL_HEIGHT + 6,
      textStyle: { ...text, fontWeight: "bold" },
    })),
    grid: panels.map((_, at) => ({
      left: 64,
      right: 24,
      top: top + at * PANEL_HEIGHT + TITLE_HEIGHT,
      height: PANEL_HEIGHT - TITLE_HEIGHT - AXIS_HEIGHT,
    })),
    xAxis: panels.map((_, at) => ({
      gridIndex: at,
      type: "value",
      max: "dataMax",
      axisLabel: {
        ...text,
        showMaxLabel: false,
        formatter: (value: number) => `${round(value)} min`,
      },
      axisLine: line,
      axisTick: { show: false },
      splitLine: { show: false },
    })),
    yAxis: panels.map(({ isLogarithmic }, at) => ({
      gridIndex: at,
      type: isLogarithmic ? "log" : "value",
      min: isLogarithmic ? undefined : 0,
      axisLabel: text,
      splitNumber: 4,
      splitLine: line,
    })),
    series: panels.flatMap(({ curves }, at) =>
      curves.map(({ name, points, by, isDashed }) => {
        const color = COLORS[names.indexOf(name) % COLORS.length];
        return {
          ...{
            name,
            type: "line",
            xAxisIndex: at,
            yAxisIndex: at,
            showSymbol: false,
            silent: true,
          },
          itemStyle: { color },
          lineStyle: { color, width: 1.5, ...(isDashed ? { type: "dashed" } : {}) },
          data: thin(points, { most: POINTS_MAX, by })
            .map(([seconds, value]) => [round(seconds / 60), round(value)]),
        };
      })
    ),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg.replace(/^(<svg [^>]*>)/, `$1\n${STYLE}`);
}

const curve = (samples: readonly Sample[], of: (sample: Sample) => number | undefined): Point[] =>
  samples.flatMap((sample) => {
    const value = of(sample);
    return value === undefined ? [] : [[sample.seconds, value] as const];
  });

/** The ends of a line, to be drawn over what it is fitted to. */
function ends(line: Line, points: readonly Point[]): readonly Point[] {
  const at = (seconds: number): Point => [
    seconds,
    line.start + line.slopePerHour * seconds / 3600,
  ];
  return [at(points[0]?.[0] ?? 0), at(points.at(-1)?.[0] ?? 0)];
}

/** What is drawn besides chores, which happen too seldom for a curve. */
const DRAWN = ["lookup", "status", "issue", "revoke", "visit", "login"] as const;

/** The drawings, by the names of their files. */
export function drawSoak({ samples, options }: Soaked): Readonly<Record<string, string>> {
  const latencies = (quantile: "p50Ms" | "p99Ms", by: "mean" | "max"): readonly Curve[] =>
    DRAWN.map((name) => ({
      name,
      by,
      points: curve(samples, ({ latencies }) => latencies[name]?.[quantile]),
    }));
  const memory = curve(samples, ({ residentBytes }) => residentBytes / 2 ** 20);
  const judged = memory.filter(([seconds]) => seconds >= options.warmUpSeconds);
  const plain = (name: string, of: (sample: Sample) => number, by: "mean" | "max" = "mean") => [
    { name, by, points: curve(samples, of) },
  ];
  return {
    "soak-latency.svg": draw([
      {
        title: "Half of the answers within, ms",
        curves: latencies("p50Ms", "mean"),
        isLogarithmic: true,
      },
      { title: "99 of 100 within, ms", curves: latencies("p99Ms", "max"), isLogarithmic: true },
    ], { legend: DRAWN }),
    "soak-memory.svg": draw([
      {
        title: "Memory of the server (RSS), MiB, and the line of least squares after the warm-up",
        curves: [
          { name: "memory", by: "max", points: memory },
          { name: "line", by: "mean", isDashed: true, points: ends(fitLine(judged), judged) },
        ],
      },
      {
        title: "Entries of the log",
        curves: plain("entries", ({ entries }) => entries, "max"),
      },
    ], { legend: [] }),
    "soak-resources.svg": draw([
      { title: "Open descriptors", curves: plain("descriptors", (one) => one.descriptors, "max") },
      { title: "Threads", curves: plain("threads", ({ threads }) => threads, "max") },
      { title: "CPU, cores", curves: plain("cores", ({ cores }) => cores) },
    ], { legend: [] }),
  };
}
