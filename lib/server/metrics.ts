/**
 * Metrics as text, written by prom-client from what was measured. Loaded only by a server that is
 * asked to tell them. prom-client counts nothing here: its merging of registries takes numbers that
 * were counted elsewhere.
 */

import prometheus from "prom-client";
import type { HistogramCounts } from "../base/histogram.ts";
import type { Measured } from "../protocol/measured.ts";
import { type HistogramRow, type Labels, type MetricRow, METRICS } from "./metric_table.ts";

/** Prometheus' own text, and its standardized successor. */
export const METRIC_FORMATS = ["prometheus", "openmetrics"] as const;
export type MetricFormat = typeof METRIC_FORMATS[number];

export interface MetricText {
  /** For `Content-Type`. */
  readonly contentType: string;
  readonly text: string;
}

/** A sample as prom-client's registries exchange it. */
interface Sample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly metricName?: string;
}

function histogramSamples(
  { name, bounds }: HistogramRow,
  [{ counts, sum }, labels = {}]: readonly [HistogramCounts, Labels?],
): readonly Sample[] {
  let total = 0;
  const buckets = counts.map((count, at) => {
    total += count;
    return {
      value: total,
      labels: { le: bounds[at] ?? "+Inf", ...labels },
      metricName: `${name}_bucket`,
    };
  });
  return [
    ...buckets,
    { value: sum, labels, metricName: `${name}_sum` },
    { value: total, labels, metricName: `${name}_count` },
  ];
}

function samplesOf(row: MetricRow, measured: Measured): readonly Sample[] {
  return row.type === "histogram"
    ? row.read(measured).flatMap((one) => histogramSamples(row, one))
    : row.read(measured).map(([value, labels = {}]) => ({ value, labels }));
}

/** A metric without a value is left out, and not told as nothing. */
export async function renderMetrics(measured: Measured, format: MetricFormat): Promise<MetricText> {
  const { AggregatorRegistry, Registry } = prometheus;
  const isOpen = format === "openmetrics";
  const metrics = METRICS.map((row) => ({
    // In OpenMetrics the family's name is without the suffix, which prom-client adds to each sample.
    name: isOpen && row.type === "counter" ? row.name.replace(/_total$/, "") : row.name,
    help: row.help,
    type: row.type,
    aggregator: "sum",
    values: samplesOf(row, measured),
  })).filter(({ values }) => values.length > 0);
  const registry = AggregatorRegistry.aggregate<
    typeof Registry.OPENMETRICS_CONTENT_TYPE | typeof Registry.PROMETHEUS_CONTENT_TYPE
  >([metrics]);
  if (isOpen) registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  return { contentType: registry.contentType, text: await registry.metrics() };
}
