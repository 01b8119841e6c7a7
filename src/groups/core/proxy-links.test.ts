import { expect, test } from "bun:test";
import type { ApiRequest } from "../../api/request.ts";
import { rewriteLink, throughProxy } from "./proxy-links.ts";

const prefix = "/api/v1/namespaces/ns/services/web/proxy";
const request = {
  resource: { group: "", version: "v1", plural: "services" },
  namespace: "ns",
  name: "web",
} as ApiRequest;

const links: readonly (readonly [link: string, rewritten: string])[] = [
  ["/a?b=c", `${prefix}/a?b=c`],
  ["a/b", "a/b"],
  ["#top", "#top"],
  [`${prefix}/a`, `${prefix}/a`],
  ["http://10.42.0.2:80/a/", `${prefix}/a/`],
  ["//10.42.0.2:80", `${prefix}/`],
  ["https://example.com/a", "https://example.com/a"],
  ["mailto:a@example.com", "mailto:a@example.com"],
];
for (const [link, rewritten] of links)
  test(`rewriteLink() makes ${rewritten} of ${link}`, () => {
    expect(rewriteLink(link, prefix, "10.42.0.2:80")).toBe(rewritten);
  });

test("throughProxy() rewrites redirects and the links of pages, and nothing else", async () => {
  const moved = new Response(null, { status: 302, headers: { location: "/login" } });
  const redirect = throughProxy(moved, request, "h");
  expect([redirect.status, redirect.headers.get("location")]).toEqual([302, `${prefix}/login`]);
  const html = '<link href="/a.css"><p id="/x"><a href="b">';
  const headers = { "content-type": "text/html; charset=utf-8" };
  const page = throughProxy(new Response(html, { headers }), request, "h");
  expect(await page.text()).toBe(`<link href="${prefix}/a.css"><p id="/x"><a href="b">`);
  const text = throughProxy(new Response(html), request, "h");
  expect(await text.text()).toBe(html);
});
