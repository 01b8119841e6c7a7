/**
 * Links and redirects of a proxied server lead back through the proxy (upstream's
 * `proxyutil.Transport`): what is absolute there gets the path of the proxy in front.
 */
import type { ApiRequest } from "../../api/request.ts";
import { rewriteHtmlLinks } from "../../runtime/html-links.ts";

/** Where a proxied server seems to live, for those who come through the API. */
export function proxyPrefix({ resource, namespace, name }: ApiRequest): string {
  const { group, version, plural } = resource;
  const root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  const place = namespace === "" ? root : `${root}/namespaces/${namespace}`;
  return `${place}/${plural}/${name}/proxy`;
}

/** A link as it must be for a client of the API; `host` is the proxied server's own. */
export function rewriteLink(link: string, prefix: string, host: string): string {
  let path = link;
  const absolute = /^(?:[a-z][a-z0-9+.-]*:)?\/\/([^/?#]*)(.*)$/is.exec(link);
  if (absolute !== null) {
    const [, linkHost = "", rest = ""] = absolute;
    if (linkHost !== host) return link;
    path = rest.startsWith("/") ? rest : `/${rest}`;
  }
  const isRelative = !path.startsWith("/");
  if (isRelative || path.startsWith(prefix)) return path;
  return `${prefix}${path}`;
}

/** The answer of the proxied server with its redirect or its page's links rewritten. */
export function throughProxy(response: Response, request: ApiRequest, host: string): Response {
  const rewrite = (link: string): string => rewriteLink(link, proxyPrefix(request), host);
  const location = response.headers.get("location");
  if (location !== null) {
    const headers = new Headers(response.headers);
    headers.set("location", rewrite(location));
    return new Response(response.body, { status: response.status, headers });
  }
  const type = (response.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase();
  return type === "text/html" && response.body !== null
    ? rewriteHtmlLinks(response, rewrite)
    : response;
}
