// An OTLP peer on grpc-js: takes every request, and says how many bytes it has. Its first line is its port.
//
// node grpc-js.js PORT LIBRARY, port 0 for any.
const [port, library] = process.argv.slice(2);
const grpc = require(library);

const asIs = (bytes) => bytes;
const service = {
  export: {
    path: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    requestStream: false,
    responseStream: false,
    requestDeserialize: asIs,
    responseSerialize: asIs,
  },
};
const server = new grpc.Server();
server.addService(service, {
  export(call, done) {
    console.log(call.request.length);
    done(null, Buffer.alloc(0));
  },
});
server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error, bound) => {
  if (error) throw error;
  console.log(bound);
});
