package client

import (
	"net/http"
	"net/url"

	"golang.org/x/net/http/httpproxy"
)

// proxyFrom reads HTTPS_PROXY, HTTP_PROXY, NO_PROXY and ALL_PROXY, in upper or lower case, like most programs. Loopback
// addresses never use a proxy.
func proxyFrom(getenv func(string) string) func(*url.URL) (*url.URL, error) {
	either := func(name, small string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return getenv(small)
	}
	all := either("ALL_PROXY", "all_proxy")
	config := httpproxy.Config{
		HTTPProxy: either("HTTP_PROXY", "http_proxy"), HTTPSProxy: either("HTTPS_PROXY", "https_proxy"), NoProxy: either("NO_PROXY", "no_proxy"),
	}
	if config.HTTPSProxy == "" {
		config.HTTPSProxy = all
	}
	if config.HTTPProxy == "" {
		config.HTTPProxy = all
	}
	return config.ProxyFunc()
}

// proxyOf returns the proxy of a request; nil for none.
func (c *Client) proxyOf(r *http.Request) (*url.URL, error) {
	if c.proxy == nil {
		return nil, nil
	}
	return c.proxy(r.URL)
}

// viaProxy adds the proxy to a hint; "" without a proxy.
func (c *Client) viaProxy() string {
	if c.proxy == nil {
		return ""
	}
	if p, err := c.proxy(c.base); err != nil || p == nil {
		return ""
	} else {
		return " (using proxy " + p.Host + " from HTTPS_PROXY or ALL_PROXY, see NO_PROXY)"
	}
}
