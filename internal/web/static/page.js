// What every page needs but the road, which has a script of its own.
"use strict";
import { follow } from "/static/times.js";

follow();
