package deflate

// Held is the memory of f beside that of package flate.
func (f *Inflater) Held() int { return cap(f.in) + cap(f.out) }

// CountTables counts the blocks of a message of at most limit bytes that have codes of
// their own, up to most, and its bytes.
func CountTables(b []byte, limit, most int) (n, length int, err error) {
	return countTables([]byte(string(b)+tail+"\x01"+tail), limit, most)
}

// MostTables is how many a message may have.
func MostTables(bytes int) int { return someTables + bytes/tableOfEach }
