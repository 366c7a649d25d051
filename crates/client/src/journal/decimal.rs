//! Amounts are decimal strings in JSON: they do not fit its numbers.

pub(super) mod plain {
    use seamline_core::Amount;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(in super::super) fn serialize<S: Serializer>(
        amount: &Amount,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(amount)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Amount, D::Error> {
        let text = String::deserialize(from)?;
        Amount::parse(&text).map_err(D::Error::custom)
    }
}

pub(super) mod optional {
    use seamline_core::Amount;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(in super::super) fn serialize<S: Serializer>(
        amount: &Option<Amount>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match amount {
            Some(amount) => to.collect_str(amount),
            None => to.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Amount>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| Amount::parse(&text).map_err(D::Error::custom))
            .transpose()
    }
}
