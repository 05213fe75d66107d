/** Takes down what a command says. */
import type { CommandIo } from '../../../bin/console/text-buffer.js';

export interface RecordedIo extends CommandIo {
  text: string;
  logged: { info: string[]; warn: string[]; error: string[] };
}

export const recordedIo = (): RecordedIo => {
  const logged: RecordedIo['logged'] = { info: [], warn: [], error: [] };
  const io: RecordedIo = {
    text: '',
    logged,
    stdout(text) {
      io.text += text;
    },
    log: {
      info: message => logged.info.push(message),
      warn: message => logged.warn.push(message),
      error: message => logged.error.push(message),
    },
  };
  return io;
};
