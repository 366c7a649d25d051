// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// A token that anybody mints and that misbehaves on demand, for tests: it keeps a fee of each transfer, or calls somebody from
/// inside of it.
contract OddToken is ERC20 {
    uint256 public fee;
    address public target;
    bytes public input;
    /// How often the inner call succeeded and failed, and what it failed with last.
    uint256 public entered;
    uint256 public refused;
    bytes public refusal;

    constructor() ERC20("Odd", "ODD") {}

    function mint(address to, uint256 value) external {
        _mint(to, value);
    }

    function setFee(uint256 fee_) external {
        fee = fee_;
    }

    function setCall(address target_, bytes calldata input_) external {
        (target, input) = (target_, input_);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from == address(0) || to == address(0)) return;
        if (fee != 0) super._update(to, address(0), fee);
        if (target == address(0)) return;
        (bool success, bytes memory output) = target.call(input);
        if (success) {
            entered += 1;
        } else {
            refused += 1;
            refusal = output;
        }
    }
}
