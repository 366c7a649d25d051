//! Takes a receipt file apart into a tree of CBOR, lets tests change it, and puts it together again
//! with whatever signature is wanted. Writes what it is told, canonical or not.

use ed25519_dalek::{Signer as _, SigningKey};
use seamline_core::cbor::{Kind, Reader, Writer};
use seamline_core::sha256;

/// Any CBOR that the format can hold, and a few things that it cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Uint(u64),
    Int(i64),
    Bytes(Vec<u8>),
    Text(String),
    Array(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Bool(bool),
    Null,
    /// Bytes as they are, for what no writer writes.
    Raw(Vec<u8>),
}

impl Node {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut reader = Reader::new(bytes).unwrap();
        let node = Self::read(&mut reader);
        reader.finish().unwrap();
        node
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        match reader.peek().unwrap() {
            Kind::Uint => Self::Uint(reader.uint().unwrap()),
            Kind::Negative => Self::Int(reader.int().unwrap()),
            Kind::Bytes => Self::Bytes(reader.bytes().unwrap().to_vec()),
            Kind::Text => Self::Text(reader.text().unwrap().to_owned()),
            Kind::Bool => Self::Bool(reader.bool().unwrap()),
            Kind::Null => {
                reader.skip_null().unwrap();
                Self::Null
            }
            Kind::Tag => panic!("only the envelope is tagged"),
            Kind::Array => {
                let items = reader.array().unwrap();
                Self::Array((0..items).map(|_| Self::read(reader)).collect())
            }
            Kind::Map => {
                let entries = reader.map().unwrap();
                let entry = |_| (Self::read(reader), Self::read(reader));
                Self::Map((0..entries).map(entry).collect())
            }
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::new();
        match self {
            Self::Uint(value) => _ = writer.uint(*value),
            Self::Int(value) => _ = writer.int(*value),
            Self::Bytes(bytes) => _ = writer.bytes(bytes),
            Self::Text(text) => _ = writer.text(text),
            Self::Bool(value) => _ = writer.bool(*value),
            Self::Null => _ = writer.null(),
            Self::Array(items) => _ = writer.array(items.len()),
            Self::Map(entries) => _ = writer.map(entries.len()),
            Self::Raw(bytes) => out.extend_from_slice(bytes),
        }
        out.extend(writer.finish());
        match self {
            Self::Array(items) => items.iter().for_each(|item| item.write(out)),
            Self::Map(entries) => entries.iter().for_each(|(key, value)| {
                key.write(out);
                value.write(out);
            }),
            _ => {}
        }
    }

    pub(crate) fn items(&mut self) -> &mut Vec<Self> {
        match self {
            Self::Array(items) => items,
            other => panic!("{other:?} is no array"),
        }
    }

    pub(crate) fn entries(&mut self) -> &mut Vec<(Self, Self)> {
        match self {
            Self::Map(entries) => entries,
            other => panic!("{other:?} is no map"),
        }
    }

    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes,
            other => panic!("{other:?} is no byte string"),
        }
    }

    /// The value under an unsigned key of a map.
    pub(crate) fn at(&mut self, key: u64) -> &mut Self {
        let mut entries = self.entries().iter_mut();
        let found = entries.find(|(it, _)| *it == Self::Uint(key));
        &mut found.unwrap().1
    }
}

/// A receipt file, taken apart.
#[derive(Clone)]
pub(crate) struct Forge {
    pub(crate) magic: Vec<u8>,
    pub(crate) tag: Vec<u8>,
    pub(crate) protected: Node,
    pub(crate) unprotected: Node,
    pub(crate) core: Node,
    pub(crate) signature: Vec<u8>,
    pub(crate) aad: Vec<u8>,
    pub(crate) leaves: Node,
    pub(crate) blobs: Node,
    /// Further entries of the outer map.
    pub(crate) extra: Vec<(Node, Node)>,
}

impl Forge {
    pub(crate) fn open(file: &[u8]) -> Self {
        let (magic, body) = file.split_at(5);
        let mut body = Node::parse(body);
        let sign1 = body.at(0).bytes().clone();
        let (tag, sign1) = sign1.split_at(1);
        let mut sign1 = Node::parse(sign1);
        let parts = sign1.items();
        Self {
            magic: magic.to_vec(),
            tag: tag.to_vec(),
            protected: Node::parse(parts[0].bytes()),
            unprotected: parts[1].clone(),
            core: Node::parse(parts[2].bytes()),
            signature: parts[3].bytes().clone(),
            aad: b"seamline/v1/receipt".to_vec(),
            leaves: body.at(1).clone(),
            blobs: body.at(2).clone(),
            extra: Vec::new(),
        }
    }

    /// Signs again, with the key id that belongs to the key.
    pub(crate) fn sign(&mut self, seed: &[u8; 32]) {
        let key = SigningKey::from_bytes(seed);
        let kid = sha256(&[key.verifying_key().as_bytes()]);
        *self.protected.at(4) = Node::Bytes(kid[..8].to_vec());
        self.sign_as_it_is(seed);
    }

    /// Signs again and leaves the protected header alone.
    pub(crate) fn sign_as_it_is(&mut self, seed: &[u8; 32]) {
        let message = Node::Array(vec![
            Node::Text("Signature1".to_owned()),
            Node::Bytes(self.protected.encode()),
            Node::Bytes(self.aad.clone()),
            Node::Bytes(self.core.encode()),
        ]);
        let key = SigningKey::from_bytes(seed);
        self.signature = key.sign(&message.encode()).to_bytes().to_vec();
    }

    pub(crate) fn close(&self) -> Vec<u8> {
        let sign1 = Node::Array(vec![
            Node::Bytes(self.protected.encode()),
            self.unprotected.clone(),
            Node::Bytes(self.core.encode()),
            Node::Bytes(self.signature.clone()),
        ]);
        let sign1 = [self.tag.clone(), sign1.encode()].concat();
        let mut entries = vec![
            (Node::Uint(0), Node::Bytes(sign1)),
            (Node::Uint(1), self.leaves.clone()),
            (Node::Uint(2), self.blobs.clone()),
        ];
        entries.extend(self.extra.clone());
        [self.magic.clone(), Node::Map(entries).encode()].concat()
    }
}

/// The number under which the core keeps a part.
pub(crate) mod key {
    pub(crate) const VERSION: u64 = 0;
    pub(crate) const CALL_ID: u64 = 1;
    pub(crate) const SEQ: u64 = 2;
    pub(crate) const OPEN_LEAF: u64 = 4;
    pub(crate) const EVENT_ROOT: u64 = 5;
    pub(crate) const EVENT_COUNT: u64 = 6;
    pub(crate) const KINDS: u64 = 7;
    pub(crate) const DECISIONS: u64 = 8;
    pub(crate) const HESITATIONS: u64 = 9;
    pub(crate) const OUTCOME: u64 = 10;
    pub(crate) const CHARGED: u64 = 12;
    pub(crate) const COST: u64 = 13;
    pub(crate) const EVIDENCE: u64 = 14;
    pub(crate) const ENGINE: u64 = 15;
    pub(crate) const CATALOGUE_ROOT: u64 = 16;
    pub(crate) const POLICY_HASH: u64 = 17;
    pub(crate) const H_BIND: u64 = 18;
    pub(crate) const RECORDER: u64 = 19;
    pub(crate) const MARKS: u64 = 20;
}
