// The demo agent of 2020 in today's SDK: a callback for each metric opens, reads and closes its files by their whole
// paths, and the SDK's stdout exporter writes what they show. Arguments: a file of directories, and a number of sweeps.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
)

type source struct {
	path  string
	label metric.ObserveOption
}

func value(path string) (int64, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSuffix(string(content), "\n"), 10, 64)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func cpu() int64 {
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func main() {
	list, err := os.Open(os.Args[1])
	must(err)
	sweeps, err := strconv.Atoi(os.Args[2])
	must(err)
	metrics := map[string][]source{}
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		files, err := os.ReadDir(lines.Text())
		must(err)
		for _, file := range files {
			path := filepath.Join(lines.Text(), file.Name())
			if _, err := value(path); err == nil {
				label := metric.WithAttributes(attribute.String("device", lines.Text()))
				metrics[file.Name()] = append(metrics[file.Name()], source{path, label})
			}
		}
	}
	exporter, err := stdoutmetric.New(stdoutmetric.WithWriter(io.Discard))
	must(err)
	provider := sdk.NewMeterProvider(sdk.WithReader(sdk.NewPeriodicReader(exporter)))
	meter := provider.Meter("demo-agent")
	values := 0
	for name, sources := range metrics {
		values += len(sources)
		_, err := meter.Int64ObservableCounter(name, metric.WithInt64Callback(func(_ context.Context, observer metric.Int64Observer) error {
			for _, source := range sources {
				if value, err := value(source.path); err == nil {
					observer.Observe(value, source.label)
				}
			}
			return nil
		}))
		must(err)
	}
	must(provider.ForceFlush(context.Background()))
	before := cpu()
	for range sweeps {
		must(provider.ForceFlush(context.Background()))
	}
	fmt.Println(values*sweeps, cpu()-before)
}
