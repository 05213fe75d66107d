/** What passes is shown, and stays as it is. */
import t from 'tap';
import { collect } from '../../support/stream/collect.js';
