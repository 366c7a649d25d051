//! Any bytes, as everything that Oblivious HTTP reads: nothing panics, nothing unauthentic opens, and what
//! decodes encodes to something that decodes to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seamline_ohttp::{
    Aead, Entropy, Gateway, GatewayKey, KeyConfig, Limits, Profile, RelayFrames, RequestOpener,
    SecretKey, bhttp, decode_list, encapsulate, encode_list,
};

fuzz_target!(|data: &[u8]| {
    if let Ok(config) = KeyConfig::decode(data) {
        assert_eq!(KeyConfig::decode(&config.encode()), Ok(config));
    }
    if let Ok(list) = decode_list(data) {
        assert_eq!(decode_list(&encode_list(&list)), Ok(list));
    }
    if let Ok(request) = bhttp::Request::decode(data) {
        let encoded = request.encode(0).unwrap();
        assert_eq!(bhttp::Request::decode(&encoded), Ok(request));
    }
    if let Ok(response) = bhttp::Response::decode(data) {
        let encoded = response.encode(0).unwrap();
        assert_eq!(bhttp::Response::decode(&encoded), Ok(response));
    }

    let profiles = [
        (1, Profile::OpenGradient),
        (2, Profile::Rfc9458),
        (3, Profile::Chunked),
    ];
    let keys = profiles.map(|(id, profile)| {
        let secret = SecretKey::derive(&[7; 32]);
        GatewayKey::new(id, secret, &[Aead::ChaCha20Poly1305], profile).unwrap()
    });
    let gateway = Gateway::new(keys.into()).unwrap();
    for (_, profile) in profiles {
        assert!(gateway.decapsulate(profile, data).is_err());
    }
    let mut opener = RequestOpener::new(&gateway, Limits::default());
    assert!(opener.push(data).is_err() || opener.finish().is_err());

    let config = gateway.keys()[0].config();
    let sealed = || {
        encapsulate(config, Profile::OpenGradient, b"", Entropy::new([1; 32]))
            .unwrap()
            .1
    };
    assert!(sealed().open(data).is_err());
    let mut opener = sealed().open_chunked(Limits::default()).unwrap();
    assert!(opener.push(data).is_err() || opener.finish().is_err());
    // However the pieces are cut, a relay forwards the same.
    let cut = data.len() / 2;
    let whole = relayed(&[data]);
    assert_eq!(whole, relayed(&[&data[..cut], &data[cut..]]));
});

fn relayed(pieces: &[&[u8]]) -> Option<Vec<u8>> {
    let mut frames = RelayFrames::new(Limits::default());
    let mut forwarded = Vec::new();
    for piece in pieces {
        forwarded.extend(frames.push(piece).ok()?);
    }
    forwarded.extend(frames.finish().ok()?.rest);
    Some(forwarded)
}
