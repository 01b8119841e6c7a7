/** Rewrites the links of an HTML page while it streams through. */

/** The attributes that hold links, by element (HTML 4 and 5). */
const attributes: Readonly<Record<string, readonly string[]>> = {
  a: ["href"],
  area: ["href"],
  audio: ["src"],
  base: ["href"],
  blockquote: ["cite"],
  body: ["background"],
  button: ["formaction"],
  del: ["cite"],
  embed: ["src"],
  form: ["action"],
  frame: ["longdesc", "src"],
  html: ["manifest"],
  iframe: ["longdesc", "src"],
  img: ["longdesc", "src", "usemap"],
  input: ["formaction", "src", "usemap"],
  ins: ["cite"],
  link: ["href"],
  object: ["classid", "codebase", "data", "usemap"],
  q: ["cite"],
  script: ["src"],
  source: ["src"],
  video: ["poster", "src"],
};

export function rewriteHtmlLinks(page: Response, rewrite: (link: string) => string): Response {
  const rewriter = new HTMLRewriter();
  for (const [element, names] of Object.entries(attributes))
    rewriter.on(element, {
      element(found) {
        for (const name of names) {
          const link = found.getAttribute(name);
          if (link !== null) found.setAttribute(name, rewrite(link));
        }
      },
    });
  return rewriter.transform(page);
}
