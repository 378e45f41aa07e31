/**
 * Whether somebody who shows a certificate is the contact that is remembered. Pure; who asks has
 * judged the certificate already.
 */

import { isEqualBytes } from "../base/bytes.ts";
import { type Endorsement, followEndorsements } from "../protocol/endorsement.ts";
import type { Certificate } from "../x509/certificate.ts";
import { type Contact, isSameKey } from "./contacts.ts";

/** How somebody stands to what is remembered of them. */
export type Standing =
  /** Nothing is. */
  | { readonly kind: "new" }
  /** The key is the same. */
  | { readonly kind: "known"; readonly contact: Contact }
  /** The key is another, and the remembered one vouches for it, directly or over others. */
  | {
    readonly kind: "endorsed";
    readonly contact: Contact;
    readonly endorsements: readonly Endorsement[];
  }
  /** The key is another, and nothing vouches for it; also if it is under another root. */
  | { readonly kind: "changed"; readonly contact: Contact; readonly isOtherRoot: boolean };

/**
 * A key that is the same under another root is still the same person's. For another key an earlier
 * root's endorsements count like those of this one: whoever made them knew only that root.
 * @param shown the certificate, with the DER of the root that it was judged under
 * @param endorsements what came with it; nothing in them is trusted
 */
export function judgeContact(
  contact: Contact | undefined,
  { shown, root, endorsements }: {
    readonly shown: Pick<Certificate, "spki">;
    readonly root: Uint8Array;
    readonly endorsements: readonly Endorsement[];
  },
): Standing {
  if (!contact) return { kind: "new" };
  if (isSameKey(contact.leaf, shown)) return { kind: "known", contact };
  const isOtherRoot = !isEqualBytes(contact.root, root);
  const { id, leaf } = contact;
  for (const scope of isOtherRoot ? [contact.root, root] : [root]) {
    const links = followEndorsements(endorsements, {
      root: scope,
      id,
      pinned: leaf.spki,
      key: shown.spki,
    });
    if (links) return { kind: "endorsed", contact, endorsements: links };
  }
  return { kind: "changed", contact, isOtherRoot };
}
