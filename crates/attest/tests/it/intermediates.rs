//! Known answers at every layer, computed by independent software.

use seamline_attest::nitro::Document;
use seamline_core::sha256;

use crate::{DEBUG_2023, NITRIDING, evidence};

fn sha384(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA384, bytes);
    hex::encode(digest.as_ref())
}

fn sha256_of(bytes: &[u8]) -> String {
    hex::encode(sha256(&[bytes]))
}

#[test]
fn of_the_nitriding_document() {
    let Some(evidence) = evidence(NITRIDING) else {
        return;
    };
    assert_eq!(
        sha256_of(&evidence),
        "65ce3118757bd0428142776bc2d715ca0a785ac8b872fedf7edc1fbd9ad10070"
    );
    let document = Document::parse(&evidence).expect("a document");
    assert_eq!(
        hex::encode(document.id()),
        "13c1fc1b3a2d4ccb14c7bb096e547575feb6b4f8130ec95b2e1ec6f4677b9aa9"
    );
    assert_eq!(document.payload().len(), 4448);
    let signed = document.signed_bytes();
    assert_eq!(signed.len(), 4469);
    assert_eq!(
        sha384(&signed),
        "c4b8eaa2574e2aab079ab9fa19ed26c7db2a522d1920b2ddae60b5800495bff7bb27a55a058210388b6539b5cff6a703"
    );
    assert_eq!(
        hex::encode(document.signature()),
        "39fd2d03b82e13ab8631bfff14ad85d313481d6d8ab772204fe4e395b33c05fc127402f81d2b118aa5ecb9ac4aecab33\
         de9be1ad55321ea3ef16a50fc1251fe0c7fe6181956d70a3ae4182d657165077705633c90a7455242107c32d2691a27e"
    );
    assert_eq!(
        document.module_id(),
        "i-0340e0cb833504eb6-enc019c12d31f78864d"
    );
    assert_eq!(document.timestamp().as_millis(), 1_770_918_962_724);

    let bundle = document.ca_bundle().as_slice();
    let digests: Vec<_> = bundle
        .iter()
        .map(|der| sha256_of(der)[..16].to_owned())
        .collect();
    let expected = [
        "641a0321a3e244ef",
        "41df28f9bf525877",
        "e5e76913d2028563",
        "014962aff93db9c7",
    ];
    assert_eq!(digests, expected);
    assert_eq!(&sha256_of(document.certificate())[..16], "09fd1c28f9280b8f");
    let point = "048d12df830098eb4e9000c20cba48d2e9e03bd9b0e88049324116835ee0d79617f5d954e4e941ec77e0bcf30e4b\
                 142acd78d1584254f13abaa3f5f5fca44d92b6833b6c9f7b23fcb61da8bd5e13b41768985c71e07b77b6c0a0fb86f1d25b787c";
    assert!(hex::encode(document.certificate()).contains(point));

    let registers = [
        "9baef83909784e4d2cb84466c02931bb8125e948b62029029e80bfa1698bfd7069408e4ab20d1c99c859e8f774cce0ff",
        "4b4d5b3661b3efc12920900c80e126e4ce783c522de6c02a2a5bf7af3a2b9327b86776f188e4be1c1c404a129dbda493",
        "769925c8ae0c5c2d1aa86de149213b1c5dec642557bf0c426c6581f0e562a042d1c7d2578443515d103f74ce55337666",
    ];
    for (index, register) in registers.into_iter().enumerate() {
        let pcr = document.pcrs()[index].expect("a register");
        assert_eq!(hex::encode(pcr), register);
    }
    let pcr4 = document.pcrs()[4].expect("a register");
    let instance = [&[0; 48], b"i-0340e0cb833504eb6".as_slice()].concat();
    assert_eq!(hex::encode(pcr4), sha384(&instance));
}

#[test]
fn of_the_debug_document_that_binds_a_key() {
    let Some(evidence) = evidence(DEBUG_2023) else {
        return;
    };
    let document = Document::parse(&evidence).expect("a document");
    assert_eq!(document.payload().len(), 4640);
    assert_eq!(
        hex::encode(document.id()),
        "d96510ead42016212484eadcd98261e283fefa2c53a369b458007b1870256174"
    );
    let signed = document.signed_bytes();
    assert_eq!(signed.len(), 4661);
    assert_eq!(
        sha384(&signed),
        "59a1d073c877ee8a48c2acd58cef7fa881de59b9404be9be01b4335e4826d2c03897d44e16164980d6b6e2c6e21e5837"
    );
    for index in 0..3 {
        assert_eq!(document.pcrs()[index], Some(&[0; 48]));
    }
    let pcr4 = hex::encode(document.pcrs()[4].expect("a register"));
    assert!(pcr4.starts_with("d0531b14") && pcr4.ends_with("5065"));
    // Its user data is the public key of its TLS certificate.
    let cert = crate::evidence("evervault-2023-09-18.tlscert.der").expect("a certificate");
    let (_, cert) = x509_parser::parse_x509_certificate(&cert).expect("a certificate");
    assert_eq!(document.user_data(), Some(cert.public_key().raw));
}
