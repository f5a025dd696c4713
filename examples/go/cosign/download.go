package cosign

// #include <cosign.h>
import "C"

import (
	"context"
	"strings"
)

// DownloadOptions says what to download.
type DownloadOptions struct {
	// Format is the only one that is looked for; FormatBoth unless another is named.
	Format string
	// TagSuffix is ".sig" unless another is named; ".cosign" in 2021.
	TagSuffix string
	// Lines2021 gives the lines that `cosign download` printed in 2021, which say nothing of bundles.
	Lines2021 bool
}

// Download returns the signatures that are stored for image, a line of JSON each; none of them is verified. Nil options are
// the defaults.
func (c *Client) Download(ctx context.Context, image string, options *DownloadOptions) ([]string, error) {
	if options == nil {
		options = &DownloadOptions{}
	}
	format, suffix := options.Format, options.TagSuffix
	if format == "" {
		format = FormatBoth
	}
	if suffix == "" {
		suffix = ".sig"
	}
	var old C.int32_t
	if options.Lines2021 {
		old = 1
	}
	var lines []byte
	var failed error
	err := withTexts(func(t []*C.char) {
		lines, failed = c.buffer(ctx, image, func(p *C.cosign_client, ref *C.char, call *C.cosign_call, out **C.cosign_buffer, e **C.cosign_error) C.cosign_code {
			return C.cosign_download(p, ref, t[0], t[1], old, call, out, e)
		})
	}, format, suffix)
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(lines), "\n"), "\n"), nil
}
