//! Slow files: a table is read by several jobs, so that one of its files holds up none of the others.

use super::Sweeps;
use super::table_read::TableRead;
use crate::read::{Cancelled, Job, LongJob, Precedence};
use crate::tables::TableId;

impl Sweeps {
    /// Submits the job of a table, and one for each of its files that are known to be slow.
    pub(super) fn submit_table(
        &mut self,
        id: TableId,
        read: TableRead,
        job: Job,
    ) -> std::io::Result<()> {
        let mut apart = read.pending.actions.apart.clone();
        apart.sort_by_key(|(_, last_tried)| *last_tried);
        self.reads.insert(id, read);
        self.submit(id, job)?;
        for (row, last_tried) in apart {
            self.submit_share(id, &[row], Precedence::Slow { last_tried })?;
        }
        Ok(())
    }

    /// Shares the jobs that take long. What comes behind a file that does not answer is suspected to be like it, the less the
    /// farther away it stands: neighbours by name are often neighbours on a bus. So the far part is read first, and none of
    /// it takes the last thread.
    pub(super) fn share_long_jobs(&mut self) -> std::io::Result<()> {
        for LongJob {
            number,
            row,
            is_stalled,
        } in self.readers.find_long_jobs()?
        {
            let Some(id) = self.jobs.get(&number).copied() else {
                continue;
            };
            let read = self.reads.get_mut(&id);
            let Some((before, after)) = read.and_then(|read| read.split_at(number, row)) else {
                continue;
            };
            self.readers.relieve(number);
            if is_stalled && let Some(read) = self.reads.get_mut(&id) {
                read.set_stalled();
            }
            let precedence = if is_stalled {
                Precedence::Suspected
            } else {
                Precedence::Normal
            };
            let parts = self.readers.max_readers().max(2);
            for rows in after.chunks(after.len().div_ceil(parts).max(1)) {
                self.submit_share(id, rows, precedence)?;
            }
            if is_stalled && !before.is_empty() {
                // If it does not answer at all, what was read before it is lost with it.
                let second = self.submit_share(id, &before, Precedence::Normal)?;
                if let Some(read) = self.reads.get_mut(&id) {
                    read.set_second(number, second);
                }
            }
        }
        Ok(())
    }

    /// Takes back a job that is needed no more, if no reader has begun it.
    pub(super) fn drop_queued_job(&mut self, id: TableId, number: u64) {
        if let Cancelled::Queued(_) = self.readers.cancel(number)
            && let Some(read) = self.reads.get_mut(&id)
        {
            self.jobs.remove(&number);
            read.drop_job(number);
        }
    }

    fn submit_share(
        &mut self,
        id: TableId,
        rows: &[u32],
        precedence: Precedence,
    ) -> std::io::Result<u64> {
        let job = self.reads.get(&id).map(|read| read.share(rows, precedence));
        job.map_or(Ok(0), |job| self.submit(id, job))
    }

    fn submit(&mut self, id: TableId, job: Job) -> std::io::Result<u64> {
        let selection = job.selection.clone();
        let number = self.readers.submit(job)?;
        self.jobs.insert(number, id);
        if let Some(read) = self.reads.get_mut(&id) {
            read.add_job(number, selection);
        }
        Ok(number)
    }
}
