namespace Apvirt.VfioAp.Tests.Mission;

/// <summary>
/// Requirements of mission.md whose scenario needs a design that the driver no longer has, or a search through every
/// interleaving. Their lock orders, where they have one, are in the validator's tests.
/// </summary>
public sealed class HistoricalDesignTests
{
    private const string Model = "needs a historical design as a runnable model";
    private const string Search = "needs an exhaustive search";

    [Fact(Skip = Model + " (v11's filter by domain)")]
    public void M009_M010_M011_the_filter_by_domain()
    {
    }

    [Fact(Skip = Search)]
    public void M016_the_explorer_disproves_a_belief()
    {
    }

    [Fact(Skip = Model + " (B1)")]
    public void M024_M025_queues_are_stolen_under_b1()
    {
    }

    [Fact(Skip = Search)]
    public void M026_i13_holds_in_every_schedule()
    {
    }

    [Fact(Skip = Model + " (A, B, C)")]
    public void M027_each_design_shows_its_defect_and_the_final_one_does_not()
    {
    }

    [Fact(Skip = Model + " (A)")]
    public void M033_under_a_the_probe_inverts_locks_or_reads_without()
    {
    }

    [Fact(Skip = Model + " (C)")]
    public void M036_M037_M107_the_list_of_guests_and_what_its_nodes_hold()
    {
    }

    [Fact(Skip = Model + " (C as posted)")]
    public void M038_M039_M040_nodes_leak_and_a_lock_stays_held()
    {
    }

    [Fact(Skip = Model + " (list only)")]
    public void M047_a_vm_found_in_the_list_dies_before_it_is_locked()
    {
    }

    [Fact(Skip = Model + " (early drop)")]
    public void M048_dropping_the_lock_early_overwrites_a_newer_plug()
    {
    }

    [Fact(Skip = Model + " (C)")]
    public void M049_M052_a_node_is_freed_while_a_hook_reads_it()
    {
    }

    [Fact(Skip = Model + " (notifier)")]
    public void M059_the_notifier_of_the_time()
    {
    }
}
