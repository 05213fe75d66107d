/** Warnings about a layer, each said once. */

/** How many different ones are said: a layer may give cause for any number. */
const MOST = 100;

/** Says a sentence only the first time, and no more after the hundredth. */
export const saidOnce = (warn: (message: string) => void): ((message: string) => void) => {
  const said = new Set<string>();
  return message => {
    if (said.size > MOST || said.has(message)) return;
    said.add(message);
    warn(said.size > MOST ? 'there are more warnings of this kind' : message);
  };
};
