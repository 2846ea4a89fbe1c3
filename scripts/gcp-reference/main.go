// The Collector's own exporter to Google Cloud Monitoring, given what the benchmark of exporters/gcp gives to ours:
// so many counters, each sweep ten seconds after the one before. Says how much of a CPU it took.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/GoogleCloudPlatform/opentelemetry-operations-go/exporter/collector"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

const metrics = 20

func main() {
	address, series, sweeps := os.Args[1], number(os.Args[2]), number(os.Args[3])
	gzip := len(os.Args) > 4 && os.Args[4] == "gzip"
	config := collector.DefaultConfig()
	config.ProjectID = "p"
	config.MetricConfig.Prefix = "custom.googleapis.com"
	config.MetricConfig.ClientConfig.Endpoint = address
	config.MetricConfig.ClientConfig.UseInsecure = true
	config.MetricConfig.SkipCreateMetricDescriptor = true
	if gzip {
		config.MetricConfig.ClientConfig.Compression = "gzip"
	}
	ctx := context.Background()
	exporter, err := collector.NewGoogleCloudMetricsExporter(ctx, config, exportertest.NewNopSettings(component.MustNewType("googlecloud")), 12*time.Second)
	check(err)
	check(exporter.Start(ctx, componenttest.NewNopHost()))
	first := time.Now().Add(-24 * time.Hour)
	check(exporter.PushMetrics(ctx, sweep(series, first, first, 0)))
	before := cpu()
	started := time.Now()
	for number := 1; number <= sweeps; number++ {
		check(exporter.PushMetrics(ctx, sweep(series, first, first.Add(time.Duration(number)*10*time.Second), number)))
	}
	used, took := cpu()-before, time.Since(started)
	// Without what making the input takes.
	before = cpu()
	for number := 1; number <= sweeps; number++ {
		sweep(series, first, first, number)
	}
	used -= cpu() - before
	fmt.Printf("%.0f %.3f\n", float64(series*sweeps)/used.Seconds(), took.Seconds())
}

// What all counters show at a time.
func sweep(series int, start, at time.Time, value int) pmetric.Metrics {
	all := pmetric.NewMetrics()
	resource := all.ResourceMetrics().AppendEmpty()
	for key, value := range map[string]string{"service.name": "s", "service.instance.id": "i", "host.id": "h1"} {
		resource.Resource().Attributes().PutStr(key, value)
	}
	scope := resource.ScopeMetrics().AppendEmpty()
	scope.Scope().SetName("receiver-test")
	scope.Scope().SetVersion("0.1.0")
	for index := 0; index < metrics; index++ {
		metric := scope.Metrics().AppendEmpty()
		metric.SetName(fmt.Sprintf("net/x%d", index))
		sum := metric.SetEmptySum()
		sum.SetIsMonotonic(true)
		sum.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		for device := 0; device < series/metrics; device++ {
			point := sum.DataPoints().AppendEmpty()
			point.SetStartTimestamp(pcommon.NewTimestampFromTime(start.Add(-time.Second)))
			point.SetTimestamp(pcommon.NewTimestampFromTime(at))
			point.SetIntValue(int64(value))
			point.Attributes().PutStr("device", fmt.Sprintf("d%d", device))
			point.Attributes().PutStr("queue", "0")
			point.Attributes().PutStr("direction", "rx")
		}
	}
	return all
}

func cpu() time.Duration {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func number(text string) int {
	it, err := strconv.Atoi(text)
	check(err)
	return it
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
