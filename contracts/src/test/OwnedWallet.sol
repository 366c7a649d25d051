// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// A contract wallet with one key, for tests. Without an owner the key is that of its own address: so it also serves as what
/// an account delegates to (EIP-7702).
contract OwnedWallet is IERC1271 {
    /// In slot 0: a genesis sets it there.
    address public owner;

    error NotOwner();

    constructor(address owner_) {
        owner = owner_;
    }

    receive() external payable {}

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        (address signer, ECDSA.RecoverError problem,) = ECDSA.tryRecoverCalldata(digest, signature);
        bool signed = problem == ECDSA.RecoverError.NoError && signer == _owner();
        return signed ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }

    /// Calls as the wallet; what the call reverts with, so does this.
    function execute(address target, uint256 value, bytes calldata input) external returns (bytes memory output) {
        if (msg.sender != _owner()) revert NotOwner();
        bool success;
        (success, output) = target.call{value: value}(input);
        if (!success) {
            assembly {
                revert(add(output, 32), mload(output))
            }
        }
    }

    function _owner() private view returns (address) {
        return owner == address(0) ? address(this) : owner;
    }
}
