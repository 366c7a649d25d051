// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// The precompile at 0xF4 that runs models.
interface IModelInference {
    /// value / 10^decimals
    struct Number {
        int128 value;
        int128 decimals;
    }

    struct NumberTensor {
        string name;
        Number[] values;
        uint32[] shape;
    }

    struct StringTensor {
        string name;
        string[] values;
    }

    struct JsonScalar {
        string name;
        string value;
    }

    struct Input {
        NumberTensor[] numbers;
        StringTensor[] strings;
    }

    struct Output {
        NumberTensor[] numbers;
        StringTensor[] strings;
        JsonScalar[] jsons;
        bool is_simulation_result;
    }

    struct Request {
        uint8 mode;
        string modelCID;
        Input input;
    }

    event ModelInferenceEvent(string inferenceID, Request request, Output response);

    function runModelInference(Request calldata request) external returns (Output memory);
}
