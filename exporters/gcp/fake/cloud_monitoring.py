"""A fake of Cloud Monitoring made of Google's own package: its types, field names and statuses. Prints the port it
listens on. Each line of standard input is a JSON object of settings, and is answered by a report, as JSON:

interval SECONDS              the minimum interval between points of a series
now NANOSECONDS, advance SECONDS  sets and advances its clock
fail [CODE, …]                the next requests fail with these codes
reject [WORD, CODE, WHY, TIMES]  series with this label value are rejected, this many times
descriptors {TYPE: [KIND, VALUES]}  descriptors that exist already
"""

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

lock = threading.Lock()
interval, ahead, reject = 10 * 10**9, 0, None
descriptors, series, created_descriptors, violations, requests, fail = {}, {}, [], [], [], []


def nanos(stamp):
    return stamp.seconds * 10**9 + stamp.nanos // 1000 * 1000


def is_distribution(distribution):
    """At most 200 buckets, whose counts add up; explicit bounds rise, and there is one more bucket than bounds."""
    bounds = list(distribution.bucket_options.explicit_buckets.bounds)
    rise = all(low < high for low, high in zip(bounds, bounds[1:]))
    fit = len(distribution.bucket_counts) <= (len(bounds) + 1 if distribution.bucket_options.WhichOneof("options") == "explicit_buckets" else 200)
    return rise and fit and len(distribution.bucket_counts) <= 200 and sum(distribution.bucket_counts) == distribution.count


def violation(time_series, last):
    """The first rule that a series violates, as the API words it."""
    if not re.fullmatch(r"[^/]+\.[^/]+/.+", time_series.metric.type):
        return f"Field metric.type had an invalid value of {time_series.metric.type}: it must have a domain and a non-empty path."
    if any(time_series.resource.labels.get(key) == "" for key in ("location", "zone", "region")):
        return "Unrecognized region or location."
    if len(time_series.metric.labels) > 30:
        return "at most 30 labels are allowed"
    for key, value in time_series.metric.labels.items():
        if not re.fullmatch("[a-zA-Z][a-zA-Z0-9_]{0,99}", key) or len(value.encode()) > 1024:
            return f"Field metric.labels[{key}] had an invalid value."
    if len(time_series.points) != 1:
        return "Only one point can be written per TimeSeries per request."
    descriptor = descriptors.get(time_series.metric.type)
    if descriptor is None:
        return f"Unknown metric: {time_series.metric.type}"
    point = time_series.points[0]
    if time_series.metric_kind != descriptor.metric_kind:
        return f"Metric kind for metric {time_series.metric.type} must be {KIND.Name(descriptor.metric_kind)}, but is {KIND.Name(time_series.metric_kind)}."
    if point.value.WhichOneof("value") == "distribution_value" and not is_distribution(point.value.distribution_value):
        return "Distribution value has invalid |bucket_counts|."
    if not time_series.value_type == descriptor.value_type == VALUES[point.value.WhichOneof("value")]:
        return f"Value type for metric {time_series.metric.type} must be {VALUE.Name(descriptor.value_type)}."
    end, now = nanos(point.interval.end_time), time.time_ns() + ahead
    if not now - 25 * 3600 * 10**9 <= end <= now + 300 * 10**9:
        return "Data points cannot be written more than 25h in the past or 5m in the future."
    start = nanos(point.interval.start_time) if point.interval.HasField("start_time") else None
    if time_series.metric_kind == KIND.GAUGE:
        if start not in (None, end):
            return "The start time must be equal to the end time for the gauge metric."
    elif start is None or start + 10**6 > end:
        return "The start time must be before the end time for the non-gauge metric."
    elif last and start != last[0] and start < last[1] + 10**6:
        return "Points must be written in order. One or more of the points specified had an older start time than the most recent point."
    if last and end <= last[1]:
        return "Points must be written in order. One or more of the points specified had an older end time than the most recent point."
    if last and end < last[1] + interval:
        return "One or more points were written more frequently than the maximum sampling period configured for the metric."
    return None


def key_of(time_series):
    labels = lambda labels: json.dumps(dict(labels), sort_keys=True)
    return f"{time_series.metric.type}{labels(time_series.metric.labels)} of {time_series.resource.type}{labels(time_series.resource.labels)}"


def rejection(time_series):
    """The code and the reason, if this series is to be rejected now."""
    if not reject or reject[0] not in time_series.metric.labels.values() or reject[3] == 0:
        return None
    reject[3] -= 1
    return getattr(grpc.StatusCode, reject[1]).value[0], reject[2]


def create_time_series(request, context):
    with lock:
        if fail:
            context.abort(getattr(grpc.StatusCode, fail.pop(0)), "as the test has it")
        requests.append(len(request.time_series))
        if len(request.time_series) > 200:
            violations.append("more than 200")
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "At most 200 TimeSeries can be written in one request.")
        if not re.fullmatch("projects/[^/]+", request.name):
            violations.append(f"name {request.name}")
        failed, seen = {}, set()
        for index, time_series in enumerate(request.time_series):
            key = key_of(time_series)
            why = "Duplicate TimeSeries encountered." if key in seen else violation(time_series, (series.get(key) or [None])[-1])
            seen.add(key)
            if why:
                violations.append(f"{key}: {why}")
            why = (3, why) if why else rejection(time_series)
            if why:
                failed.setdefault(why, []).append(index)
            else:
                span = time_series.points[0].interval
                series.setdefault(key, []).append((nanos(span.start_time) if span.HasField("start_time") else None, nanos(span.end_time)))
        if not failed:
            return empty_pb2.Empty()
        count = sum(map(len, failed.values()))
        summary = types.CreateTimeSeriesSummary(
            total_point_count=len(request.time_series),
            success_point_count=len(request.time_series) - count,
            errors=[{"status": status_pb2.Status(code=code, message=why), "point_count": len(at)} for (code, why), at in failed.items()],
        )
        named = "; ".join(f"{why}: timeSeries[{','.join(map(str, at))}]" for (_, why), at in failed.items())
        codes = {code for code, _ in failed}
        status = status_pb2.Status(code=3 if 3 in codes else min(codes), message=f"One or more TimeSeries could not be written: {named}")
        status.details.add().Pack(types.CreateTimeSeriesSummary.pb(summary))
    context.abort_with_status(rpc_status.to_status(status))


def create_descriptor(request, context):
    descriptor = request.metric_descriptor
    with lock:
        existing = descriptors.get(descriptor.type)
        if existing and (existing.metric_kind, existing.value_type) != (descriptor.metric_kind, descriptor.value_type):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"When creating metric {descriptor.type}: the metric already exists with another kind or type.")
        if len(descriptor.labels) > 30:
            violations.append(f"{descriptor.type}: more than 30 labels")
        created_descriptors.append(descriptor.type)
        descriptors[descriptor.type] = descriptor
    return descriptor


def get_descriptor(request, context):
    with lock:
        existing = descriptors.get(request.name.split("/metricDescriptors/")[1])
    return existing or context.abort(grpc.StatusCode.NOT_FOUND, request.name)


def list_descriptors(request, context):
    found = re.fullmatch(r'metric\.type = starts_with\("([^"]*)"\)', request.filter)
    if not found:
        violations.append(f"filter {request.filter}")
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Field filter had an invalid value of {request.filter}.")
    with lock:
        matching = [descriptors[name] for name in sorted(descriptors) if name.startswith(found[1])]
    start, size = int(request.page_token or 0), min(request.page_size or 10000, 10000)
    more = str(start + size) if len(matching) > start + size else ""
    page = types.ListMetricDescriptorsResponse.pb(types.ListMetricDescriptorsResponse(next_page_token=more))
    page.metric_descriptors.extend(matching[start : start + size])
    return page


def handler(function, request):
    parse = type(request.pb(request())).FromString
    return grpc.unary_unary_rpc_method_handler(function, parse, lambda answer: answer.SerializeToString())


server = grpc.server(futures.ThreadPoolExecutor(8))
methods = {
    "CreateTimeSeries": handler(create_time_series, types.CreateTimeSeriesRequest),
    "CreateServiceTimeSeries": handler(create_time_series, types.CreateTimeSeriesRequest),
    "CreateMetricDescriptor": handler(create_descriptor, types.CreateMetricDescriptorRequest),
    "ListMetricDescriptors": handler(list_descriptors, types.ListMetricDescriptorsRequest),
    "GetMetricDescriptor": handler(get_descriptor, types.GetMetricDescriptorRequest),
}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("google.monitoring.v3.MetricService", methods),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
for line in sys.stdin:
    with lock:
        command = json.loads(line)
        interval = int(command.get("interval", interval / 10**9) * 10**9)
        ahead = (command["now"] - time.time_ns() if "now" in command else ahead) + int(command.get("advance", 0) * 10**9)
        fail += command.get("fail", [])
        reject = command.get("reject", reject)
        for name, (kind, values) in command.get("descriptors", {}).items():
            descriptors[name] = metric_pb2.MetricDescriptor(type=name, metric_kind=KIND.Value(kind), value_type=VALUE.Value(values))
        report = {
            "accepted": sum(map(len, series.values())),
            "points": {key: len(points) for key, points in series.items()},
            "violations": violations,
            "requests": requests,
            "created_descriptors": created_descriptors,
            "kinds": {name: f"{KIND.Name(descriptor.metric_kind)} {VALUE.Name(descriptor.value_type)}" for name, descriptor in descriptors.items()},
        }
        print(json.dumps(report), flush=True)
server.stop(None)
