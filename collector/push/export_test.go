package push

import "context"

// Expire looks for silence once.
func Expire(ctx context.Context, in *Input) {
	for _, p := range in.all() {
		if err := p.expire(ctx, in.o.Record, in.o.Visit, in.o.MaxAge(), in.o.Now()); err != nil {
			panic(err)
		}
	}
}
