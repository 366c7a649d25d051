// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {OwnedWallet} from "./OwnedWallet.sol";

/// Makes contract wallets at addresses that are known before, as ERC-6492 needs, for tests.
contract WalletFactory {
    /// Makes the wallet, or leaves the one that is there.
    function deploy(address owner, bytes32 salt) external returns (address wallet) {
        wallet = walletOf(owner, salt);
        if (wallet.code.length == 0) new OwnedWallet{salt: salt}(owner);
    }

    function walletOf(address owner, bytes32 salt) public view returns (address) {
        bytes32 code = keccak256(abi.encodePacked(type(OwnedWallet).creationCode, abi.encode(owner)));
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, code)))));
    }
}
