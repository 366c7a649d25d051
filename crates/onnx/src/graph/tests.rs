use super::*;

const LINEAR: &[u8] = include_bytes!("../../../../spec/vectors/models/linear.onnx");
const MLP: &[u8] = include_bytes!("../../../../spec/vectors/models/mlp.onnx");
const LABEL: &[u8] = include_bytes!("../../../../spec/vectors/models/label.onnx");

fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 128);
    [&[field << 3 | 2, length], content].concat()
}

/// The next of a message's fields, from 16 on, whose tags have two bytes.
fn far(field: u8, content: &[u8]) -> Vec<u8> {
    let tag = u16::from(field) << 3 | 2;
    let head = [
        u8::try_from(tag & 0x7f).unwrap() | 0x80,
        u8::try_from(tag >> 7).unwrap(),
        u8::try_from(content.len()).unwrap(),
    ];
    [&head, content].concat()
}

fn port(field: u8, name: &str, described: &[u8]) -> Vec<u8> {
    bytes(
        field,
        &[bytes(1, name.as_bytes()), bytes(2, described)].concat(),
    )
}

fn tensor_of(dimensions: usize) -> Vec<u8> {
    let shape = bytes(1, &[8, 1]).repeat(dimensions);
    bytes(1, &[vec![8, 1], bytes(2, &shape)].concat())
}

fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    bytes(7, &graph.concat())
}

#[test]
fn inputs_and_outputs_are_read() {
    let graph = Graph::read(MLP).unwrap();
    assert_eq!(graph.name.as_deref(), Some("mlp"));
    let open = |last| {
        Some(vec![
            Dimension::Named("batch".to_owned()),
            Dimension::Length(last),
        ])
    };
    let [input] = &graph.inputs[..] else {
        panic!("{graph:?}")
    };
    assert_eq!(
        (input.name.as_str(), input.element),
        ("x", Element::Float32)
    );
    assert_eq!(input.shape, open(4));
    let [output] = &graph.outputs[..] else {
        panic!("{graph:?}")
    };
    assert_eq!(output.shape, open(3));
    assert!(graph.operators.contains("Softmax"));
    let info = graph.info(ModelId::of_bytes(MLP), 557);
    assert_eq!(info.inputs[0].shape, [None, Some(4)]);
    assert_eq!(info.inputs[0].element, "float32");
    let label = Graph::read(LABEL)
        .unwrap()
        .info(ModelId::of_bytes(LABEL), 1);
    assert_eq!(label.outputs[0].kind, ElementKind::String);
}

#[test]
fn a_file_that_is_cut_is_refused_at_each_place() {
    for end in 0..LINEAR.len() {
        let refused = Graph::read(&LINEAR[..end]);
        // What is behind the graph (its operator set) says nothing of inputs and outputs.
        if let Ok(graph) = &refused {
            assert_eq!(graph, &Graph::read(LINEAR).unwrap());
        } else {
            assert!(
                matches!(refused, Err(GraphError::Malformed | GraphError::NoGraph)),
                "{end}: {refused:?}"
            );
        }
    }
    assert_eq!(Graph::read(b""), Err(GraphError::NoGraph));
}

#[test]
fn a_graph_without_outputs_is_none() {
    let empty = model(&[port(11, "x", &tensor_of(1))]);
    assert_eq!(Graph::read(&empty), Err(GraphError::NoGraph));
}

#[test]
fn weights_in_other_files_are_refused() {
    let elsewhere = bytes(5, &[bytes(8, b"w"), vec![14 << 3, 1]].concat());
    let named = bytes(5, &[bytes(8, b"w"), bytes(13, b"")].concat());
    let in_attribute = bytes(
        1,
        &bytes(5, &bytes(5, &[bytes(8, b"w"), vec![14 << 3, 1]].concat())),
    );
    let sparse = bytes(15, &bytes(1, &[bytes(8, b"w"), vec![14 << 3, 1]].concat()));
    for tensor in [elsewhere, named, in_attribute, sparse] {
        let graph = model(&[tensor, port(12, "y", &tensor_of(1))]);
        let name = "w".to_owned();
        assert_eq!(Graph::read(&graph), Err(GraphError::ExternalData { name }));
    }
}

#[test]
fn random_operators_are_refused_wherever_they_are() {
    let node = bytes(1, &bytes(4, b"RandomNormal"));
    let inside = bytes(1, &bytes(5, &bytes(6, &node)));
    for nodes in [node, inside] {
        let graph = model(&[nodes, port(12, "y", &tensor_of(1))]);
        let operator = "RandomNormal".to_owned();
        assert_eq!(Graph::read(&graph), Err(GraphError::Random { operator }));
    }
    let function = far(25, &bytes(7, &bytes(4, b"Bernoulli")));
    let graph = [model(&[port(12, "y", &tensor_of(1))]), function].concat();
    let operator = "Bernoulli".to_owned();
    assert_eq!(Graph::read(&graph), Err(GraphError::Random { operator }));
}

#[test]
fn nesting_has_an_end() {
    let mut graph = bytes(1, &bytes(4, b"Add"));
    // Lengths of this little writer end at 127 bytes, so it starts in the middle of the depth.
    for _ in 0..12 {
        graph = bytes(1, &bytes(5, &bytes(6, &graph)));
    }
    let mut operators = BTreeSet::new();
    assert_eq!(scan_graph(&graph, &mut operators, MAX_DEPTH - 12), Ok(()));
    assert_eq!(
        scan_graph(&graph, &mut operators, MAX_DEPTH - 11),
        Err(GraphError::TooDeep)
    );
}

#[test]
fn what_is_no_tensor_is_refused() {
    // TypeProto { 4: Sequence }
    let graph = model(&[port(12, "y", &bytes(4, b""))]);
    let name = "y".to_owned();
    assert_eq!(Graph::read(&graph), Err(GraphError::NotTensor { name }));
}

#[test]
fn names_and_shapes_have_limits() {
    let refused = |name: &str| {
        Err(GraphError::Port {
            name: name.to_owned(),
        })
    };
    let twice = model(&[port(12, "y", &tensor_of(1)), port(12, "y", &tensor_of(1))]);
    assert_eq!(Graph::read(&twice), refused("y"));
    let unnamed = model(&[port(12, "", &tensor_of(1))]);
    assert_eq!(Graph::read(&unnamed), refused(""));
    let deep = model(&[port(12, "y", &tensor_of(MAX_DIMENSIONS + 1))]);
    assert_eq!(Graph::read(&deep), refused("y"));
    let many: Vec<_> = (0..=MAX_TENSORS).map(|_| Vec::new()).collect();
    let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    assert_eq!(ports(&many), Err(GraphError::TooManyPorts));
}

#[test]
fn weights_that_are_inputs_too_are_not_asked_for() {
    let weight = bytes(5, &bytes(8, b"w"));
    let graph = model(&[
        weight,
        port(11, "w", &tensor_of(1)),
        port(11, "x", &tensor_of(1)),
        port(12, "y", &tensor_of(1)),
    ]);
    let names: Vec<_> = Graph::read(&graph)
        .unwrap()
        .inputs
        .into_iter()
        .map(|port| port.name)
        .collect();
    assert_eq!(names, ["x"]);
}
