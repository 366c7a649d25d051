// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IModelInference} from "./IModelInference.sol";

/// A double of OpenGradient's inference hub, as far as its SDK's `alpha.infer` asks it: a model, run by the chain itself
/// while it executes the transaction. Canonical address: 0x8383C9bD7462F12Eb996DD02F78234C0421A6FaE.
contract InferenceHub {
    /// What the models are asked through, a precompile of the chain.
    IModelInference private constant MODELS = IModelInference(0x00000000000000000000000000000000000000F4);

    event InferenceResult(IModelInference.Output output);

    /// Runs `modelId` on `modelInput`; mode 0 is the only one. Reverts with the chain's reason.
    function run(string calldata modelId, uint8 inferenceMode, IModelInference.Input calldata modelInput)
        external
        returns (IModelInference.Output memory output)
    {
        output = MODELS.runModelInference(IModelInference.Request(inferenceMode, modelId, modelInput));
        emit InferenceResult(output);
    }
}
