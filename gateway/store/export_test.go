package store

import (
	"context"
	"fmt"
)

// LimitPages makes the disk full for the writer, as far as SQLite can tell.
func (s *Store) LimitPages(ctx context.Context, n int) error {
	_, err := s.write.ExecContext(ctx, fmt.Sprintf(`PRAGMA max_page_count = %d`, n))
	return err
}

// ReadOnly makes the writer unable to write.
func (s *Store) ReadOnly(ctx context.Context, on bool) error {
	_, err := s.write.ExecContext(ctx, fmt.Sprintf(`PRAGMA query_only = %t`, on))
	return err
}
