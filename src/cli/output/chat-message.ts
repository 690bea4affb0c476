/** A change as a message for people, in the form that Slack's incoming webhooks take, and Mattermost's after them. */

import type { RecordedChange } from "../../events/change.ts";
import { describeChange } from "../../events/describe.ts";
import { safeLine } from "./safe-text.ts";

/** Characters of one sentence, and of the reason: a message stays far below what Slack takes (40,000). */
const SENTENCE_LENGTH_MAX = 300;
const REASON_LENGTH_MAX = 300;

/** The body of the request. */
export function chatMessage(recorded: RecordedChange): string {
  const { change, revision, namespace } = recorded;
  const { actor, reason } = change.data;
  const why = reason === "" ? "" : `: “${plain(reason, REASON_LENGTH_MAX)}”`;
  const head = `*${plain(actor.name, SENTENCE_LENGTH_MAX)}* changed ${namespace} (revision ${revision})${why}`;
  const sentences = describeChange(recorded).map((sentence) => `• ${plain(sentence, SENTENCE_LENGTH_MAX)}`);
  return JSON.stringify({ text: [head, ...sentences].join("\n") });
}

/** What somebody wrote, as text and nothing else: no link, no mention of a whole channel (Slack, "Formatting text"). */
function plain(text: string, lengthMax: number): string {
  return safeLine(text, lengthMax).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
