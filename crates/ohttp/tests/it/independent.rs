//! Against `ohttp` and `bhttp` of the RFCs' author, in both directions.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Cursor};
use ohttp::hpke::{Aead as TheirAead, Kdf, Kem};
use ohttp::{ClientRequest, KeyConfig as TheirConfig, Server, SymmetricSuite};
use proptest::prelude::*;
use seamline_ohttp::{
    Aead, ChunkOpener, Entropy, Gateway, GatewayKey, KeyConfig, Limits, Profile, RequestOpener,
    RequestSealer, SecretKey, bhttp, encapsulate, encode_list,
};

/// Theirs has no AES-256-GCM.
const AEADS: [(Aead, TheirAead); 2] = [
    (Aead::Aes128Gcm, TheirAead::Aes128Gcm),
    (Aead::ChaCha20Poly1305, TheirAead::ChaCha20Poly1305),
];

fn their_server(key_id: u8, ikm: &[u8; 32], aead: TheirAead) -> Server {
    let suites = vec![SymmetricSuite::new(Kdf::HkdfSha256, aead)];
    let config = TheirConfig::derive(key_id, Kem::X25519Sha256, suites, ikm).unwrap();
    Server::new(config).unwrap()
}

fn our_gateway(key_id: u8, ikm: &[u8; 32], aead: Aead, profile: Profile) -> Gateway {
    let secret = SecretKey::derive(ikm);
    let key = GatewayKey::new(key_id, secret, &[aead], profile).unwrap();
    Gateway::new(vec![key]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whole_messages(
        ikm: [u8; 32],
        entropy: [[u8; 32]; 2],
        key_id: u8,
        request in prop::collection::vec(any::<u8>(), 1..600),
        response in prop::collection::vec(any::<u8>(), 1..600),
    ) {
        let [ephemeral, nonce] = entropy;
        for (ours, theirs) in AEADS {
            let server = their_server(key_id, &ikm, theirs);
            let gateway = our_gateway(key_id, &ikm, ours, Profile::Rfc9458);
            // 1. Configurations are the same bytes.
            let encoded = server.config().encode().unwrap();
            let config = KeyConfig::decode(&encoded).unwrap();
            prop_assert_eq!(gateway.keys()[0].config(), &config);
            prop_assert_eq!(config.encode(), encoded);
            // 2. Our client, their server.
            let (sealed, client) =
                encapsulate(&config, Profile::Rfc9458, &request, Entropy::new(ephemeral)).unwrap();
            let (opened, answer) = server.decapsulate(&sealed).unwrap();
            prop_assert_eq!(&opened, &request);
            let answer = answer.encapsulate(&response).unwrap();
            prop_assert_eq!(&client.open(&answer).unwrap()[..], &response[..]);
            // 3. Their client, our gateway.
            let list = encode_list(&[config]);
            let client = ClientRequest::from_encoded_config_list(&list).unwrap();
            let (sealed, client) = client.encapsulate(&request).unwrap();
            let (opened, answer) = gateway.decapsulate(Profile::Rfc9458, &sealed).unwrap();
            prop_assert_eq!(&opened[..], &request[..]);
            let answer = answer.seal(&response, Entropy::new(nonce)).unwrap();
            prop_assert_eq!(&client.decapsulate(&answer).unwrap(), &response);
        }
    }

    #[test]
    fn chunked_messages(
        ikm: [u8; 32],
        entropy: [[u8; 32]; 2],
        request in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..6),
        response in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..6),
        piece in 1_usize..300,
    ) {
        let [ephemeral, nonce] = entropy;
        for (ours, theirs) in AEADS {
            let server = their_server(3, &ikm, theirs);
            let gateway = our_gateway(3, &ikm, ours, Profile::Chunked);
            let config = gateway.keys()[0].config().clone();
            // 1. Our client, their server.
            let (mut sealed, mut sealer) =
                RequestSealer::new(&config, Entropy::new(ephemeral)).unwrap();
            for chunk in &request {
                sealed.extend(sealer.seal(chunk).unwrap());
            }
            let (last, client) = sealer.finish(b"the end").unwrap();
            sealed.extend(last);
            let mut stream = server.clone().decapsulate_stream(Cursor::new(sealed));
            let mut opened = Vec::new();
            now(stream.read_to_end(&mut opened)).unwrap();
            prop_assert_eq!(&opened, &[request.concat(), b"the end".to_vec()].concat());
            let pipe = Pipe::default();
            let mut writer = stream.response(pipe.clone()).unwrap();
            for chunk in &response {
                now(writer.write_all(chunk)).unwrap();
            }
            now(writer.close()).unwrap();
            let opened = open(client.open_chunked(Limits::default()).unwrap(), &pipe.taken(), piece);
            prop_assert_eq!(opened, response.concat());
            // 2. Their client, our gateway.
            let pipe = Pipe::default();
            let client = ClientRequest::from_encoded_config(&config.encode()).unwrap();
            let mut writer = client.encapsulate_stream(pipe.clone()).unwrap();
            for chunk in &request {
                now(writer.write_all(chunk)).unwrap();
            }
            now(writer.close()).unwrap();
            let mut opener = RequestOpener::new(&gateway, Limits::default());
            let mut opened = Vec::new();
            for piece in pipe.taken().chunks(piece) {
                for chunk in opener.push(piece).unwrap() {
                    opened.extend_from_slice(&chunk);
                }
            }
            let (last, answer) = opener.finish().unwrap();
            opened.extend_from_slice(&last);
            prop_assert_eq!(&opened, &request.concat());
            let (mut sealed, mut sealer) = answer.seal_chunked(Entropy::new(nonce)).unwrap();
            for chunk in &response {
                sealed.extend(sealer.seal(chunk).unwrap());
            }
            sealed.extend(sealer.finish(b"").unwrap());
            // Their streaming client reads a nonce of 16 bytes, whatever the AEAD (version 0.8.0).
            if ours == Aead::Aes128Gcm {
                let mut reader = writer.response(Cursor::new(sealed)).unwrap();
                let mut opened = Vec::new();
                now(reader.read_to_end(&mut opened)).unwrap();
                prop_assert_eq!(opened, response.concat());
            }
        }
    }

    #[test]
    fn binary_http(
        path in "/[a-z0-9/]{0,40}(\\?[a-z=&]{0,20})?",
        fields in prop::collection::vec(("[a-z][a-z0-9-]{0,20}x", "[!-~]{0,60}"), 0..6),
        content in prop::collection::vec(any::<u8>(), 0..400),
        status in 200_u16..600,
        padded in 0_usize..900,
    ) {
        let fields: Vec<_> = fields
            .into_iter()
            .map(|(name, value)| (name, value.into_bytes()))
            .collect();
        let request = bhttp::Request {
            method: "POST".to_owned(),
            scheme: "https".to_owned(),
            authority: "a.example:443".to_owned(),
            path,
            fields: fields.clone(),
            content: content.clone(),
            trailers: Vec::new(),
        };
        let encoded = request.encode(padded).unwrap();
        prop_assert!(encoded.len() >= padded);
        prop_assert_eq!(&bhttp::Request::decode(&encoded).unwrap(), &request);
        let theirs = their_bhttp::Message::read_bhttp(&mut std::io::Cursor::new(&encoded[..])).unwrap();
        prop_assert_eq!(theirs.control().path().unwrap(), request.path.as_bytes());
        prop_assert_eq!(theirs.content(), &content[..]);
        let mut again = Vec::new();
        theirs.write_bhttp(their_bhttp::Mode::KnownLength, &mut again).unwrap();
        prop_assert_eq!(&bhttp::Request::decode(&again).unwrap(), &request);

        let response = bhttp::Response { status, fields, content, trailers: Vec::new() };
        let encoded = response.encode(0).unwrap();
        prop_assert_eq!(&bhttp::Response::decode(&encoded).unwrap(), &response);
        let theirs = their_bhttp::Message::read_bhttp(&mut std::io::Cursor::new(&encoded[..])).unwrap();
        prop_assert_eq!(theirs.control().status().unwrap().code(), status);
    }

    #[test]
    fn whatever_bytes_come_nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(request) = bhttp::Request::decode(&bytes) {
            let again = bhttp::Request::decode(&request.encode(0).unwrap()).unwrap();
            prop_assert_eq!(again, request);
        }
        let _ = bhttp::Response::decode(&bytes);
        if let Ok(config) = KeyConfig::decode(&bytes) {
            prop_assert_eq!(KeyConfig::decode(&config.encode()).unwrap(), config);
        }
        let gateway = super::gateway(&[7; 32], &[Aead::Aes128Gcm]);
        for profile in [Profile::Rfc9458, Profile::OpenGradient] {
            prop_assert!(gateway.decapsulate(profile, &bytes).is_err());
        }
    }
}

fn open(mut opener: ChunkOpener, bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut opened = Vec::new();
    for piece in bytes.chunks(piece) {
        for chunk in opener.push(piece).unwrap() {
            opened.extend_from_slice(&chunk);
        }
    }
    opened.extend_from_slice(&opener.finish().unwrap());
    opened
}

/// What is in memory is ready.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

#[derive(Clone, Default)]
struct Pipe(Rc<RefCell<Vec<u8>>>);

impl Pipe {
    fn taken(&self) -> Vec<u8> {
        self.0.take()
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
