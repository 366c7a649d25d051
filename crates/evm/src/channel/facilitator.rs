//! What a facilitator refuses, sends and believes.
