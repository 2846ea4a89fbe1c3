//! Sends OTLP requests that are already encoded: an encoder that only copies bytes, and prost's decoder.

use bytes::{BufMut, Bytes};
use pipeline::opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// A request as the bytes of its batches, one after the other: a repeated field concatenates.
#[derive(Debug, Default)]
pub(crate) struct Encoded;

impl Codec for Encoded {
    type Encode = Vec<Bytes>;
    type Decode = ExportMetricsServiceResponse;
    type Encoder = Encoded;
    type Decoder = Encoded;

    fn encoder(&mut self) -> Encoded {
        Encoded
    }

    fn decoder(&mut self) -> Encoded {
        Encoded
    }
}

impl Encoder for Encoded {
    type Item = Vec<Bytes>;
    type Error = Status;

    fn encode(&mut self, parts: Vec<Bytes>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(parts.iter().map(Bytes::len).sum());
        parts.into_iter().for_each(|part| out.put(part));
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = ExportMetricsServiceResponse;
    type Error = Status;

    fn decode(
        &mut self,
        from: &mut DecodeBuf<'_>,
    ) -> Result<Option<ExportMetricsServiceResponse>, Status> {
        ExportMetricsServiceResponse::decode(from)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
