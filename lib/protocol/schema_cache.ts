/**
 * Schemas of messages are made when they are first needed: a worker serves one connection, and most
 * connections need a few of them.
 */

/** A function that makes each schema once, by the type of its message. */
export function cached<T extends string, S>(make: (type: T) => S): (type: T) => S {
  const made = new Map<T, S>();
  return (type) => {
    const schema = made.get(type) ?? make(type);
    made.set(type, schema);
    return schema;
  };
}
