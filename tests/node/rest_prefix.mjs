// Passes <URL>/rest/v1/... on to PostgREST at REST_URL, which has no prefix. Prints its own URL; ends when its
// standard input does.
import { createServer, request } from "node:http";

const PREFIX = "/rest/v1";

const server = createServer((asked, answer) => {
  if (!asked.url.startsWith(PREFIX)) return answer.writeHead(404).end();
  const { method, headers } = asked;
  const passed = request(process.env.REST_URL + asked.url.slice(PREFIX.length), { method, headers }, (response) => {
    answer.writeHead(response.statusCode, response.statusMessage, response.headers);
    response.pipe(answer);
  });
  passed.on("error", () => answer.destroy());
  asked.pipe(passed);
});
process.stdin.resume().on("end", () => process.exit());
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
