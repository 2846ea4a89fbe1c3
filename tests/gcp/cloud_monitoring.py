"""Cloud Monitoring made of Google's own package: its types, its field names, its statuses. Says where it listens; at the
end of its input it says what it took, as JSON.

--interval SECONDS    from point to point of a series, at least
--refuse WORD         series with this word in a label's value are refused
--away COUNT          so many requests are answered by UNAVAILABLE, first
--there TYPE=KIND     a descriptor that is there from the beginning
"""

import argparse
import json
import re
import sys
import threading
import time
from concurrent import futures

import grpc
from google.api import metric_pb2
from google.cloud.monitoring_v3 import types
from google.protobuf import empty_pb2
from google.rpc import status_pb2
from grpc_status import rpc_status

KIND = metric_pb2.MetricDescriptor.MetricKind
VALUE = metric_pb2.MetricDescriptor.ValueType
VALUES = {"bool_value": VALUE.BOOL, "int64_value": VALUE.INT64, "double_value": VALUE.DOUBLE, "distribution_value": VALUE.DISTRIBUTION}

parser = argparse.ArgumentParser()
parser.add_argument("--interval", type=float, default=10)
parser.add_argument("--refuse")
parser.add_argument("--away", type=int, default=0)
parser.add_argument("--there", action="append", default=[])
options = parser.parse_args()

lock = threading.Lock()
descriptors = {}
for it in options.there:
    name, kind = it.split("=")
    descriptors[name] = metric_pb2.MetricDescriptor(type=name, metric_kind=KIND.Value(kind), value_type=VALUE.INT64)
series, broken, requests = {}, [], []


def nanos(stamp):
    return stamp.seconds * 10**9 + stamp.nanos // 1000 * 1000


def why_not(it, last):
    """The first rule that a series breaks, in the API's words."""
    if len(it.metric.labels) > 30:
        return "at most 30 labels are allowed"
    for key, value in it.metric.labels.items():
        if not re.fullmatch("[a-zA-Z][a-zA-Z0-9_]{0,99}", key) or len(value.encode()) > 1024:
            return f"Field metric.labels[{key}] had an invalid value."
    if len(it.points) != 1:
        return "Only one point can be written per TimeSeries per request."
    descriptor = descriptors.get(it.metric.type)
    if descriptor is None:
        return f"Unknown metric: {it.metric.type}"
    point = it.points[0]
    if it.metric_kind != descriptor.metric_kind:
        return f"Metric kind for metric {it.metric.type} must be {KIND.Name(descriptor.metric_kind)}, but is {KIND.Name(it.metric_kind)}."
    if not it.value_type == descriptor.value_type == VALUES[point.value.WhichOneof("value")]:
        return f"Value type for metric {it.metric.type} must be {VALUE.Name(descriptor.value_type)}."
    end, now = nanos(point.interval.end_time), time.time_ns()
    if not now - 25 * 3600 * 10**9 <= end <= now + 300 * 10**9:
        return "Data points cannot be written more than 25h in the past or 5m in the future."
    start = nanos(point.interval.start_time) if point.interval.HasField("start_time") else None
    if it.metric_kind == KIND.GAUGE:
        if start not in (None, end):
            return "The start time must be equal to the end time for the gauge metric."
    elif start is None or start + 10**6 > end:
        return "The start time must be before the end time for the non-gauge metric."
    elif last and start != last[0] and start < last[1] + 10**6:
        return "Points must be written in order. One or more of the points specified had an older start time than the most recent point."
    if last and end <= last[1]:
        return "Points must be written in order. One or more of the points specified had an older end time than the most recent point."
    if last and end < last[1] + int(options.interval * 10**9):
        return "One or more points were written more frequently than the maximum sampling period configured for the metric."
    series.setdefault(key_of(it), []).append((start, end))
    return None


def key_of(it):
    labels = lambda labels: json.dumps(dict(labels), sort_keys=True)
    return f"{it.metric.type}{labels(it.metric.labels)} of {it.resource.type}{labels(it.resource.labels)}"


def write(request, context):
    with lock:
        if options.away > 0:
            options.away -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "as the test has it")
        requests.append(len(request.time_series))
        if len(request.time_series) > 200:
            broken.append("more than 200")
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "At most 200 TimeSeries can be written in one request.")
        failed, seen = {}, set()
        for index, it in enumerate(request.time_series):
            key = key_of(it)
            if options.refuse and options.refuse in it.metric.labels.values():
                failed.setdefault("Unrecognized metric label.", []).append(index)
                continue
            why = "Duplicate TimeSeries encountered." if key in seen else why_not(it, (series.get(key) or [None])[-1])
            seen.add(key)
            if why:
                broken.append(f"{key}: {why}")
                failed.setdefault(why, []).append(index)
        if not failed:
            return empty_pb2.Empty()
        count = sum(map(len, failed.values()))
        summary = types.CreateTimeSeriesSummary(
            total_point_count=len(request.time_series),
            success_point_count=len(request.time_series) - count,
            errors=[{"status": status_pb2.Status(code=3, message=why), "point_count": len(at)} for why, at in failed.items()],
        )
        named = "; ".join(f"{why}: timeSeries[{','.join(map(str, at))}]" for why, at in failed.items())
        status = status_pb2.Status(code=3, message=f"One or more TimeSeries could not be written: {named}")
        status.details.add().Pack(types.CreateTimeSeriesSummary.pb(summary))
    context.abort_with_status(rpc_status.to_status(status))


def make(request, context):
    made = request.metric_descriptor
    with lock:
        there = descriptors.get(made.type)
        if there and there.metric_kind != made.metric_kind:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"When creating metric {made.type}: the metric already exists with another kind.")
        descriptors[made.type] = made
    return made


def show(request, context):
    with lock:
        there = descriptors.get(request.name.split("/metricDescriptors/")[1])
    return there or context.abort(grpc.StatusCode.NOT_FOUND, request.name)


def handler(function, request):
    parse = type(request.pb(request())).FromString
    return grpc.unary_unary_rpc_method_handler(function, parse, lambda answer: answer.SerializeToString())


server = grpc.server(futures.ThreadPoolExecutor(8))
methods = {
    "CreateTimeSeries": handler(write, types.CreateTimeSeriesRequest),
    "CreateMetricDescriptor": handler(make, types.CreateMetricDescriptorRequest),
    "GetMetricDescriptor": handler(show, types.GetMetricDescriptorRequest),
}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("google.monitoring.v3.MetricService", methods),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
for line in sys.stdin:
    # How far it is, whenever asked.
    with lock:
        print(max(map(len, series.values()), default=0), flush=True)
taken = sum(map(len, series.values()))
print(json.dumps({"taken": taken, "broken": broken, "requests": requests, "descriptors": sorted(descriptors)}), flush=True)
server.stop(None)
