"""An OTLP peer on gRPC's C core: takes every request, and says how many bytes it has. Its first line is its port.

python3 grpcio.py PORT, 0 for any.
"""

import sys
from concurrent import futures

import grpc


def export(request, _):
    print(len(request), flush=True)
    return b""


handlers = {"Export": grpc.unary_unary_rpc_method_handler(export)}
service = "opentelemetry.proto.collector.metrics.v1.MetricsService"
server = grpc.server(futures.ThreadPoolExecutor(4))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
print(server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}"), flush=True)
server.start()
server.wait_for_termination()
