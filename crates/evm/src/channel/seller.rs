//! What a seller accepts, charges and claims.
