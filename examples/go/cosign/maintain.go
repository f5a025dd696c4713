package cosign

// #include <stdlib.h>
// #include <cosign.h>
import "C"

import (
	"context"
	"encoding/json"
	"strings"
)

// Removed is something that was taken away.
type Removed struct {
	// Place is its name.
	Place string `json:"place"`
	// ByDigest says that the manifest itself went, with every name of it.
	ByDigest bool `json:"by_digest"`
	// Note is what else is to be known of it.
	Note string `json:"note"`
}

// Kept is something that was not taken away or not copied.
type Kept struct {
	Place  string `json:"place"`
	Reason string `json:"reason"`
}

// Cleaned says what Clean did.
type Cleaned struct {
	Digest    string    `json:"digest"`
	Reference string    `json:"reference"`
	Removed   []Removed `json:"removed"`
	Kept      []Kept    `json:"kept"`
}

// Clean removes what hangs on an image: kind is "signature", "attestation", "referrer", "sbom", or "all" if empty. It
// asks no question. What could not go is in [Cleaned.Kept].
func (c *Client) Clean(ctx context.Context, image, kind string) (*Cleaned, error) {
	if kind == "" {
		kind = "all"
	}
	cleaned := &Cleaned{}
	err := withText(kind, func(k *C.char) error {
		return c.doJSON(ctx, image, cleaned, func(p *C.cosign_client, ref *C.char, call *C.cosign_call, out **C.cosign_buffer, e **C.cosign_error) C.cosign_code {
			return C.cosign_clean_image(p, ref, k, call, out, e)
		})
	})
	if err != nil {
		return nil, err
	}
	return cleaned, nil
}

// GcOptions says what to collect.
type GcOptions struct {
	// Repair merges what the standard places have lost first, whatever its age.
	Repair bool
	// WholeRepository collects the journals of all images in the repository.
	WholeRepository bool
}

// Collected says what Gc did.
type Collected struct {
	Removed  []Removed `json:"removed"`
	Kept     []Kept    `json:"kept"`
	Repaired []struct {
		Place  string `json:"place"`
		Status Status `json:"status"`
		Reason string `json:"reason"`
	} `json:"repaired"`
	// Lost counts entries that a repair would merge.
	Lost   int `json:"lost"`
	Images int `json:"images"`
}

// Gc removes journal entries that are older than 24 hours and in their standard place, or whose image is gone.
func (c *Client) Gc(ctx context.Context, image string, options *GcOptions) (*Collected, error) {
	if options == nil {
		options = &GcOptions{}
	}
	collected := &Collected{}
	err := c.doJSON(ctx, image, collected, func(p *C.cosign_client, ref *C.char, call *C.cosign_call, out **C.cosign_buffer, e **C.cosign_error) C.cosign_code {
		return C.cosign_gc(p, ref, flag(options.Repair), flag(options.WholeRepository), call, out, e)
	})
	if err != nil {
		return nil, err
	}
	return collected, nil
}

// CopyOptions says how to copy.
type CopyOptions struct {
	// Only copies only these of "sig", "att", "sbom"; empty: the image and all that hangs on it.
	Only []string
	// Platform is "os/architecture[/variant]": of an index only that image.
	Platform string
	// Force lets the destination's name be taken from another image.
	Force bool
}

// Copied says what Copy did.
type Copied struct {
	Digest      string `json:"digest"`
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Manifests   int    `json:"manifests"`
	BlobsSent   int    `json:"blobs_sent"`
	BlobsThere  int    `json:"blobs_there"`
	// Added counts signatures and others that the destination did not have; Status is that of the least protected.
	Added  int    `json:"added"`
	Status Status `json:"status"`
	Reason string `json:"reason"`
	Left   []Kept `json:"left"`
}

// Copy copies an image with all that hangs on it between registries and layouts.
func (c *Client) Copy(ctx context.Context, source, destination string, options *CopyOptions) (*Copied, error) {
	if options == nil {
		options = &CopyOptions{}
	}
	copied := &Copied{}
	err := withText(destination, func(to *C.char) error {
		return withText(strings.Join(options.Only, ","), func(only *C.char) error {
			return withText(options.Platform, func(platform *C.char) error {
				if len(options.Only) == 0 {
					only = nil
				}
				if options.Platform == "" {
					platform = nil
				}
				return c.doJSON(ctx, source, copied, func(p *C.cosign_client, ref *C.char, call *C.cosign_call, out **C.cosign_buffer, e **C.cosign_error) C.cosign_code {
					return C.cosign_copy_image(p, ref, to, only, platform, flag(options.Force), call, out, e)
				})
			})
		})
	})
	if err != nil {
		return nil, err
	}
	return copied, nil
}

// doJSON is [Client.do] for functions that answer with JSON, which goes into result.
func (c *Client) doJSON(ctx context.Context, image string, result any, f func(*C.cosign_client, *C.char, *C.cosign_call, **C.cosign_buffer, **C.cosign_error) C.cosign_code) error {
	return c.do(ctx, image, func(p *C.cosign_client, ref *C.char, call *C.cosign_call) error {
		var out *C.cosign_buffer
		var e *C.cosign_error
		if err := check(f(p, ref, call, &out, &e), &e); err != nil {
			return err
		}
		return json.Unmarshal(takeBuffer(out), result)
	})
}

// withText lends one Go string to C for the time of f.
func withText(text string, f func(*C.char) error) error {
	t, err := cText(text)
	if err != nil {
		return err
	}
	defer freeText(t)
	return f(t)
}

func flag(on bool) C.int32_t {
	if on {
		return 1
	}
	return 0
}
