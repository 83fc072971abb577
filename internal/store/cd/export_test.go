package cd

// SetRawMax bounds the bytes of deliveries that are kept as they arrived.
func (s *Store) SetRawMax(n int64) { s.rawMax = n }
