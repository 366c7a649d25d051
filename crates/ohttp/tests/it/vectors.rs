//! spec/vectors/ohttp.

use seamline_ohttp::{
    Aead, Billing, ChunkOpener, ClientExchange, Entropy, Error, Gateway, GatewayKey, KeyConfig,
    Limits, Part, Profile, RelayFrames, SecretKey, ServerExchange, bhttp, decode_list, encapsulate,
    encode_list,
};
use seamline_testkit::json_vector;
use serde_json::Value;

fn bytes(vector: &Value, name: &str) -> Vec<u8> {
    hex::decode(vector[name].as_str().unwrap()).unwrap()
}

fn array(vector: &Value, name: &str) -> [u8; 32] {
    bytes(vector, name).try_into().unwrap()
}

fn og_gateway(vector: &Value) -> Gateway {
    let secret = SecretKey::derive(&array(vector, "recipient_ikm"));
    let aeads = [Aead::ChaCha20Poly1305];
    let key = GatewayKey::new(1, secret, &aeads, Profile::OpenGradient).unwrap();
    Gateway::new(vec![key]).unwrap()
}

/// Both sides of the exchange of opengradient.json.
fn og_exchange() -> (Value, ClientExchange, ServerExchange) {
    let vector = json_vector("ohttp/opengradient.json");
    let gateway = og_gateway(&vector);
    let config = KeyConfig::decode(&bytes(&vector, "key_config")).unwrap();
    assert_eq!(gateway.keys()[0].config(), &config);
    let inner = vector["inner"].as_str().unwrap().as_bytes();
    let ephemeral = Entropy::new(array(&vector, "ephemeral_ikm"));
    let (request, client) = encapsulate(&config, Profile::OpenGradient, inner, ephemeral).unwrap();
    assert_eq!(request, bytes(&vector, "request"));
    let (opened, server) = gateway
        .decapsulate(Profile::OpenGradient, &request)
        .unwrap();
    assert_eq!(opened[..], *inner);
    (vector, client, server)
}

#[test]
fn opengradient_s_exchange_comes_out_byte_for_byte() {
    let (vector, client, server) = og_exchange();
    let plain = vector["response_plaintext"].as_str().unwrap().as_bytes();
    let nonce = Entropy::new(array(&vector, "response_nonce"));
    let response = server.seal(plain, nonce).unwrap();
    assert_eq!(response, bytes(&vector, "response"));
    assert_eq!(client.open(&response).unwrap()[..], *plain);
}

#[test]
fn opengradient_s_chunks_come_out_byte_for_byte() {
    let (vector, client, server) = og_exchange();
    let chunks = vector["chunks"].as_array().unwrap();
    let chunks: Vec<&[u8]> = chunks
        .iter()
        .map(|chunk| chunk.as_str().unwrap().as_bytes())
        .collect();
    let nonce = Entropy::new(array(&vector, "response_nonce"));
    let (mut response, mut sealer) = server.seal_chunked(nonce).unwrap();
    response.extend(sealer.seal(chunks[0]).unwrap());
    response.extend(sealer.seal(chunks[1]).unwrap());
    let billing: Billing = serde_json::from_str(vector["billing"].as_str().unwrap()).unwrap();
    let frame = billing.encode().unwrap();
    assert_eq!(frame, bytes(&vector, "billing_frame"));
    let mut billed = response.clone();
    billed.extend(frame);
    let last = sealer.finish(chunks[2]).unwrap();
    response.extend(&last);
    billed.extend(&last);
    assert_eq!(response, bytes(&vector, "chunked_response"));

    // The relay takes the billing out, whatever the pieces are.
    for piece in [1, 2, 7, 64, billed.len()] {
        let mut relay = RelayFrames::new(Limits::default());
        let mut forwarded = Vec::new();
        for piece in billed.chunks(piece) {
            forwarded.extend(relay.push(piece).unwrap());
        }
        let end = relay.finish().unwrap();
        forwarded.extend(end.rest);
        assert_eq!(forwarded, response);
        assert_eq!(end.billing.as_ref(), Some(&billing));
    }
    let mut opener = client.open_chunked(Limits::default()).unwrap();
    let mut opened = Vec::new();
    for byte in &response {
        for chunk in opener.push(&[*byte]).unwrap() {
            opened.push(chunk.to_vec());
        }
    }
    opened.push(opener.finish().unwrap().to_vec());
    assert_eq!(opened, chunks);
}

#[test]
fn the_example_of_rfc_9458_opens() {
    let vector = json_vector("ohttp/rfc9458.json");
    let secret = SecretKey::from_bytes(&array(&vector, "secret_key")).unwrap();
    let aeads = [Aead::Aes128Gcm, Aead::ChaCha20Poly1305];
    let key = GatewayKey::new(1, secret, &aeads, Profile::Rfc9458).unwrap();
    assert_eq!(key.config().encode(), bytes(&vector, "key_config"));
    let decoded = KeyConfig::decode(&bytes(&vector, "key_config")).unwrap();
    assert_eq!(&decoded, key.config());
    let listed = encode_list(std::slice::from_ref(&decoded));
    assert_eq!(decode_list(&listed).unwrap(), [decoded]);

    let gateway = Gateway::new(vec![key]).unwrap();
    let request = bytes(&vector, "request");
    let (opened, server) = gateway.decapsulate(Profile::Rfc9458, &request).unwrap();
    assert_eq!(opened[..], bytes(&vector, "request_plaintext"));
    let mut nonce = bytes(&vector, "response_nonce");
    nonce.resize(32, 0);
    let nonce = Entropy::new(nonce.try_into().unwrap());
    let plain = bytes(&vector, "response_plaintext");
    assert_eq!(
        server.seal(&plain, nonce).unwrap(),
        bytes(&vector, "response")
    );

    let request = bhttp::Request::decode(&opened).unwrap();
    assert_eq!(
        (&*request.method, &*request.authority),
        ("GET", "example.com")
    );
    assert_eq!(bhttp::Response::decode(&plain).unwrap().status, 200);
}

#[test]
fn every_refusal_has_its_reason() {
    let vectors = json_vector("ohttp/refused.json");
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 100);
    for case in cases {
        let data = bytes(case, "bytes");
        let kind = case["kind"].as_str().unwrap();
        let expect = case["expect"].as_str().unwrap();
        let failed = refusal(kind, &data).map(|err| format!("{err:?}"));
        assert_eq!(failed.as_deref(), Some(expect), "{kind}: {}", case["name"]);
    }
}

fn refusal(kind: &str, data: &[u8]) -> Option<Error> {
    match kind {
        "key_config" => KeyConfig::decode(data).err(),
        "key_list" => decode_list(data).err(),
        "request" => {
            let gateway = og_gateway(&json_vector("ohttp/opengradient.json"));
            gateway.decapsulate(Profile::OpenGradient, data).err()
        }
        "response" => og_exchange().1.open(data).err(),
        "chunked" => {
            let limits = Limits::default();
            let whole = chunks(og_exchange().1.open_chunked(limits).unwrap(), &[data]);
            let bytewise: Vec<&[u8]> = data.chunks(1).collect();
            let pieces = chunks(og_exchange().1.open_chunked(limits).unwrap(), &bytewise);
            assert_eq!(whole, pieces);
            whole
        }
        "relayed" => {
            let mut relay = RelayFrames::new(Limits::default());
            relay.push(data).err().or_else(|| relay.finish().err())
        }
        "bhttp_request" => bhttp::Request::decode(data).err(),
        "bhttp_response" => bhttp::Response::decode(data).err(),
        other => panic!("{other}"),
    }
}

fn chunks(mut opener: ChunkOpener, pieces: &[&[u8]]) -> Option<Error> {
    let failed = pieces.iter().find_map(|piece| opener.push(piece).err());
    if let Some(err) = failed {
        // It stays failed: nothing comes out after a forgery.
        assert_eq!(opener.push(&[]).err(), Some(err));
        assert_eq!(opener.finish().err(), Some(err));
        return Some(err);
    }
    opener.finish().err()
}

#[test]
fn a_key_serves_one_format() {
    let secret = [9; 32];
    let gateway = super::gateway(&secret, &[Aead::ChaCha20Poly1305]);
    let og = gateway.keys()[0].config().clone();
    let rfc = gateway.keys()[1].config().clone();
    let entropy = || Entropy::new([5; 32]);
    // Made for one format, sent to the other's key: it does not exist there.
    let (request, _) = encapsulate(&og, Profile::OpenGradient, b"{}", entropy()).unwrap();
    let failed = gateway.decapsulate(Profile::Rfc9458, &request).err();
    assert_eq!(failed, Some(Error::UnknownKey));
    let (request, client) = encapsulate(&rfc, Profile::Rfc9458, b"\0", entropy()).unwrap();
    let failed = gateway.decapsulate(Profile::OpenGradient, &request).err();
    assert_eq!(failed, Some(Error::UnknownKey));
    // The identifier is in the key schedule: with another one in front, nothing opens.
    let mut renamed = request.clone();
    renamed[0] = 1;
    let failed = gateway.decapsulate(Profile::OpenGradient, &renamed).err();
    assert_eq!(failed, Some(Error::Forged(Part::Request)));
    // RFC 9458 has no chunks, and the draft nothing else.
    let (_, server) = gateway.decapsulate(Profile::Rfc9458, &request).unwrap();
    assert_eq!(
        server.seal_chunked(entropy()).err(),
        Some(Error::WrongFormat)
    );
    let failed = client.open_chunked(Limits::default()).err();
    assert_eq!(failed, Some(Error::WrongFormat));
    let failed = encapsulate(&rfc, Profile::Chunked, b"", entropy()).err();
    assert_eq!(failed, Some(Error::WrongFormat));
    let failed = gateway.decapsulate(Profile::Chunked, &request).err();
    assert_eq!(failed, Some(Error::WrongFormat));
    let twice = [1, 1].map(|id| {
        let secret = SecretKey::from_bytes(&secret).unwrap();
        GatewayKey::new(id, secret, &[Aead::Aes128Gcm], Profile::Rfc9458).unwrap()
    });
    assert_eq!(Gateway::new(twice.into()).err(), Some(Error::DuplicateKey));
}

#[test]
fn a_response_opens_for_its_own_request_only() {
    let gateway = super::gateway(&[9; 32], &[Aead::Aes256Gcm]);
    let config = gateway.keys()[0].config();
    let exchange = |seed| {
        let entropy = Entropy::new([seed; 32]);
        let (request, client) = encapsulate(config, Profile::OpenGradient, b"{}", entropy).unwrap();
        let opened = gateway.decapsulate(Profile::OpenGradient, &request);
        (client, opened.unwrap().1)
    };
    let ((one, _), (_, other)) = (exchange(1), exchange(2));
    let response = other.seal(b"x", Entropy::new([3; 32])).unwrap();
    assert_eq!(
        one.open(&response).err(),
        Some(Error::Forged(Part::Response))
    );
}

#[test]
fn limits_end_a_message() {
    let (_, client, server) = og_exchange();
    let limits = Limits {
        chunk: 64,
        total: 128,
    };
    let (start, mut sealer) = server.seal_chunked(Entropy::new([3; 32])).unwrap();
    let mut opener = client.open_chunked(limits).unwrap();
    opener.push(&start).unwrap();
    let chunk = sealer.seal(&[0; 48]).unwrap();
    assert_eq!(opener.push(&chunk).unwrap().len(), 1);
    let failed = opener.push(&chunk).err();
    assert_eq!(failed, Some(Error::TooLong(Part::Response)));

    let (_, client, server) = og_exchange();
    let (start, sealer) = server.seal_chunked(Entropy::new([3; 32])).unwrap();
    let mut opener = client.open_chunked(limits).unwrap();
    opener.push(&start).unwrap();
    let last = sealer.finish(&[0; 49]).unwrap();
    assert_eq!(opener.push(&last).err(), Some(Error::TooLong(Part::Chunk)));
}
