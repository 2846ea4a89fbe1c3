//! Messages that are encoded already.

use std::fmt;
use std::marker::PhantomData;

use bytes::{BufMut, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Sends a message as the bytes that it is made of, one part after the other, and decodes an `R` by prost.
pub struct BytesCodec<R>(PhantomData<fn() -> R>);

impl<R> BytesCodec<R> {
    /// It has no settings.
    #[must_use]
    pub const fn new() -> BytesCodec<R> {
        BytesCodec(PhantomData)
    }
}

impl<R> Default for BytesCodec<R> {
    fn default() -> BytesCodec<R> {
        BytesCodec::new()
    }
}

impl<R> fmt::Debug for BytesCodec<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BytesCodec")
    }
}

impl<R: Message + Default + 'static> Codec for BytesCodec<R> {
    type Encode = Vec<Bytes>;
    type Decode = R;
    type Encoder = BytesCodec<R>;
    type Decoder = BytesCodec<R>;

    fn encoder(&mut self) -> BytesCodec<R> {
        BytesCodec::new()
    }

    fn decoder(&mut self) -> BytesCodec<R> {
        BytesCodec::new()
    }
}

impl<R> Encoder for BytesCodec<R> {
    type Item = Vec<Bytes>;
    type Error = Status;

    fn encode(&mut self, parts: Vec<Bytes>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(parts.iter().map(Bytes::len).sum());
        parts.into_iter().for_each(|part| out.put(part));
        Ok(())
    }
}

impl<R: Message + Default> Decoder for BytesCodec<R> {
    type Item = R;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<R>, Status> {
        R::decode(from)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
