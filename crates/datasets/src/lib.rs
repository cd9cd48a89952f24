//! Cards of known face sets, and fetching those that may be fetched.
