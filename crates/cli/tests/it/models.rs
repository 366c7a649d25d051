//! `seamline model`, and what a build without the runtime says of running models.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};

use serde_json::json;

use crate::harness::{Home, closed_port};

/// A model of `spec/vectors/models`.
fn model(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/vectors/models");
    format!("{folder}/{name}.onnx")
}

/// The id of `mlp.onnx`: base32 over 01 55 12 20 and its SHA-256.
const MLP: &str = "bafkreiggcrpqiqjxvqbz5yjvridgamfqnrpdhojfa3msfyadype3ztrpei";

fn id_of(home: &Home, name: &str) -> String {
    let added = home.json(&["model", "add", &model(name), "--json"]);
    added["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_model_is_added_listed_and_shown() {
    let home = Home::new();
    let none = home.run(&["model", "list"]);
    assert_eq!((none.code, none.stdout.as_str()), (0, ""), "{none:?}");
    let id = id_of(&home, "mlp");
    assert_eq!(id, MLP);
    let plain = home.run(&["model", "add", &model("mlp")]);
    assert_eq!(plain.stdout, format!("{id}\n"), "{plain:?}");
    let listed = home.json(&["model", "list", "--json"]);
    assert_eq!(
        listed["models"],
        json!([{ "id": id, "bytes": 557, "name": "mlp" }])
    );
    let shown = home.json(&["model", "show", &id, "--json"]);
    assert_eq!(
        shown["inputs"],
        json!([{ "name": "x", "element": "float32", "shape": ["batch", 4] }])
    );
    assert_eq!(shown["operators"], json!(["Gemm", "Relu", "Softmax"]));
    let text = home.run(&["model", "show", &id]).stdout;
    assert!(
        text.contains("output     probabilities: float32[batch, 3]"),
        "{text}"
    );
    // Another folder is another store.
    let other = home.beside("other");
    let other = other.to_str().unwrap();
    home.run(&["model", "show", &id, "--models", other])
        .fails(1, "model.not_found");
}

#[test]
fn a_changed_model_is_named_and_not_used() {
    let home = Home::new();
    let id = id_of(&home, "linear");
    fs::copy(model("pair"), home.path().join("models").join(&id)).unwrap();
    home.run(&["model", "show", &id])
        .fails(1, "model.changed")
        .says(&id);
    let listed = home.run(&["model", "list"]);
    assert!(
        listed.code == 0 && listed.stdout.contains("not usable"),
        "{listed:?}"
    );
}

#[test]
fn what_is_no_model_is_refused() {
    let home = Home::new();
    let text = home.beside("text.onnx");
    fs::write(&text, "hello world").unwrap();
    home.run(&["model", "add", text.to_str().unwrap()])
        .fails(2, "model.refused");
    home.run(&["model", "add", "no-such-file.onnx"])
        .fails(2, "model.unreadable");
    let id = id_of(&home, "linear");
    home.run(&["model", "add", &id])
        .fails(2, "model.unreadable")
        .says("--from");
    home.run(&["model", "show", "linear"]).fails(2, "model.id");
    let tree = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG";
    home.run(&["model", "show", tree])
        .fails(2, "model.id")
        .says("tree of blocks");
}

#[test]
fn a_model_is_fetched_by_its_id() {
    let home = Home::new();
    let id = id_of(&home, "pair");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/models", listener.local_addr().unwrap());
    let asked = format!("GET /models/{id} ");
    let server = std::thread::spawn(move || {
        // Two commands ask: the first gets another model.
        for name in ["linear", "pair"] {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                head.extend_from_slice(&byte);
            }
            assert!(
                head.starts_with(asked.as_bytes()),
                "{}",
                String::from_utf8_lossy(&head)
            );
            let body = fs::read(model(name)).unwrap();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&body).unwrap();
        }
    });
    let other = home.beside("other");
    let args = [
        "model",
        "add",
        &id,
        "--from",
        &url,
        "--models",
        other.to_str().unwrap(),
    ];
    home.run(&args).fails(3, "model.fetch").says("instead of");
    assert!(!other.exists(), "nothing was kept");
    assert_eq!(home.run(&args).stdout, format!("{id}\n"));
    server.join().unwrap();
    assert_eq!(
        fs::read(other.join(&id)).unwrap(),
        fs::read(model("pair")).unwrap()
    );
}

#[test]
fn a_store_that_cannot_be_asked_is_told() {
    let home = Home::new();
    let url = format!("http://127.0.0.1:{}", closed_port());
    home.run(&["model", "add", MLP, "--from", &url])
        .fails(3, "model.fetch");
    home.run(&["model", "add", MLP, "--from", "http://example.com"])
        .fails(3, "model.fetch")
        .says("loopback");
    home.run(&["model", "add", "mlp", "--from", &url])
        .fails(2, "model.id");
}

#[cfg(not(feature = "onnx"))]
#[test]
fn a_build_without_the_runtime_says_how_to_get_it() {
    let home = Home::new();
    for network in [&["up"][..], &["up", "--opengradient"]] {
        let args = [network, &["--models", "some-folder"]].concat();
        home.run(&args)
            .fails(2, "models.not_built")
            .says("--features onnx");
    }
}
