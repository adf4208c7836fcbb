using Apvirt.Ap.Architecture;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.VfioAp.Tests.Support;

namespace Apvirt.VfioAp.Tests.Mission;

/// <summary>mission.md part 1: filtering, plug and unplug, as 6.12 does it (the filter always withholds adapters).</summary>
public sealed class FilteringTests
{
    private static TestMachine Running(int[] adapters, int[] domains)
    {
        TestMachine t = new TestMachine(adapters, domains).Create().Assign(adapters, domains);
        Assert.Equal(Errno.Ok, t.Start());
        t.AssertGuest(adapters, domains);
        return t;
    }

    // M002's state: 0047 is assigned and its queue linked, but it is not in the host's configuration.
    private static TestMachine LinkedButNotPlugged()
    {
        TestMachine t = Running([0x04], [0x04, 0x47]);
        QciInfo before = t.Host.ApBus.Configuration;
        QciInfo now = before with { Aqm = ApMask.Of(0x04) };
        Assert.True(t.Runtime.Drive(t.Driver.ConfigurationChangedAsync(t.Task, now, before), TimeSpan.Zero));
        return t;
    }

    [Fact]
    public void M001_removing_one_queue_unplugs_its_whole_adapter()
    {
        TestMachine t = Running([0x04, 0x05], [0x04, 0x47]);
        Assert.Equal(Errno.Ok, t.Unbind("04.0047"));
        t.AssertShadow([0x05], [0x04, 0x47]);
        t.AssertGuest([0x05], [0x04, 0x47]);
        Assert.Equal(ApResponse.NotAvailable, t.GuestTapq("04.0004"));
        Assert.Equal(ApResponse.Normal, t.GuestTapq("05.0004"));
        Assert.Equal(ApResponse.Normal, t.GuestTapq("05.0047"));
        Assert.True(t.Linked("04.0004"));
        Assert.Equal("vfio_ap", t.Host.ApBus.FindQueue(TestMachine.Q("04.0004"))!.Driver!.Name);
        Assert.Equal(1, t.Resets("04.0004"));
    }

    [Fact]
    public void M002_plugged_needs_both_bits()
    {
        TestMachine t = LinkedButNotPlugged();
        t.AssertShadow([0x04], [0x04]);
        Assert.True(t.Linked("04.0047"));
        Assert.False(t.Plugged("04.0047"));
        Assert.True(t.Plugged("04.0004"));
    }

    [Fact]
    public void M003_removing_a_queue_that_is_not_plugged_leaves_the_guest_alone()
    {
        TestMachine t = LinkedButNotPlugged();
        long writes = t.Machine().SetMasksCount;
        long kicks = t.Machine().Vcpus[0].Kicks;
        Assert.Equal(Errno.Ok, t.Unbind("04.0047"));
        t.AssertGuest([0x04], [0x04]);
        Assert.Equal(writes, t.Machine().SetMasksCount);
        Assert.Equal(kicks, t.Machine().Vcpus[0].Kicks);
        Assert.False(t.Linked("04.0047"));
    }

    [Fact]
    public void M004_the_first_removal_unplugs_the_others_change_nothing()
    {
        TestMachine t = Running([0x04], [0x04, 0x47, 0x54]);
        long writes = t.Machine().SetMasksCount;
        Assert.Equal(Errno.Ok, t.Unbind("04.0004"));
        Assert.Equal(writes + 1, t.Machine().SetMasksCount);
        Assert.Equal(Errno.Ok, t.Unbind("04.0047"));
        Assert.Equal(Errno.Ok, t.Unbind("04.0054"));
        Assert.Equal(writes + 1, t.Machine().SetMasksCount);
        Assert.Empty(t.Machine().Apcb.Apm.ToList());
    }

    [Fact]
    public void M005_unbinding_by_hand_runs_the_same_code()
    {
        TestMachine t = LinkedButNotPlugged();
        Assert.Equal(Errno.Ok, t.Unbind("04.0047"));
        t.AssertGuest([0x04], [0x04]);
        Assert.Equal(Errno.Ok, t.Unbind("04.0004"));
        t.AssertGuest([], [0x04]);
    }

    [Fact]
    public void M006_a_queue_of_no_mdev_touches_no_guest()
    {
        TestMachine t = new TestMachine([0x04, 0x05], [0x04]).Create().Assign([0x05], [0x04]);
        Assert.Equal(Errno.Ok, t.Start());
        long writes = t.Machine().SetMasksCount;
        // kvm->lock is held by somebody else: the removal would hang if it wanted it.
        Apvirt.Kernel.Tasks.KernelTask holder = t.Runtime.CreateTask("holder");
        Assert.True(t.Machine().Lock.TryLock(holder));
        Assert.Equal(Errno.Ok, t.Unbind("04.0004"));
        t.Machine().Lock.Unlock(holder);
        Assert.Equal(writes, t.Machine().SetMasksCount);
    }

    [Fact]
    public void M007_linked_means_bound_and_assigned()
    {
        TestMachine t = new TestMachine([0x04], [0x04]).Create();
        Assert.Equal(Errno.Ok, t.Unbind("04.0004"));
        t.Assign([0x04], [0x04]);
        Assert.False(t.Linked("04.0004"));
        Assert.Equal(Errno.Ok, t.Bind("04.0004"));
        Assert.True(t.Linked("04.0004"));
        Assert.Equal(Errno.Ok, t.Write(TestMachine.Path("unassign_domain"), "4"));
        Assert.False(t.Linked("04.0004"));
        Assert.Null(t.Host.VfioAp.Matrix.Queue(TestMachine.Q("04.0004"))!.Mdev);
        Assert.Equal("vfio_ap", t.Host.ApBus.FindQueue(TestMachine.Q("04.0004"))!.Driver!.Name);
    }

    [Fact]
    public void M008_linked_but_not_in_the_shadow_while_a_scan_adds()
    {
        TestMachine t = new TestMachine([0x04], [0x04]).Create();
        Assert.Equal(Errno.Ok, t.Unbind("04.0004"));
        t.Assign([0x04], [0x04]);
        Assert.Equal(Errno.Ok, t.Start());
        t.AssertShadow([], [0x04]);
        QciInfo now = t.Host.ApBus.Configuration;
        QciInfo before = now with { Apm = ApMask.None };
        Assert.True(t.Runtime.Drive(t.Driver.ConfigurationChangedAsync(t.Task, now, before), TimeSpan.Zero));
        Assert.Equal(Errno.Ok, t.Bind("04.0004"));
        Assert.True(t.Linked("04.0004"));
        Assert.False(t.Plugged("04.0004"));
        Assert.True(t.Runtime.Drive(t.Driver.ScanCompletedAsync(t.Task, now, before), TimeSpan.Zero));
        Assert.True(t.Plugged("04.0004"));
        t.AssertGuest([0x04], [0x04]);
    }

    [Fact]
    public void M009_M011_M013_an_unbound_new_domain_withholds_the_adapter()
    {
        TestMachine t = new TestMachine([0x04], [0x04, 0x47, 0x54]).Create();
        Assert.Equal(Errno.Ok, t.Unbind("04.0054"));
        t.Assign([0x04], [0x04, 0x47]);
        Assert.Equal(Errno.Ok, t.Start());
        t.AssertGuest([0x04], [0x04, 0x47]);
        Assert.Equal(Errno.Ok, t.Write(TestMachine.Path("assign_domain"), "0x54"));
        Assert.Equal([0x04, 0x47, 0x54], t.Mdev().Matrix.Aqm.ToList());
        t.AssertShadow([], [0x04, 0x47, 0x54]);
        t.AssertGuest([], [0x04, 0x47, 0x54]);
        Assert.Equal(1, t.Resets("04.0004"));
        Assert.Equal(1, t.Resets("04.0047"));
        Assert.True(t.Linked("04.0004"));
        Assert.True(t.Linked("04.0047"));
    }

    [Fact]
    public void M010_filtering_equals_its_definition_for_random_bindings()
    {
        Apvirt.Kernel.Runtime.SplitMix random = new(1);
        for (int round = 0; round < 60; round++)
        {
            int[] adapters = [1, 2, 3];
            int[] domains = [4, 5, 6];
            TestMachine t = new TestMachine(adapters, domains).Create();
            foreach (int apid in adapters)
            {
                foreach (int apqi in domains)
                {
                    if (random.Below(4) == 0)
                        Assert.Equal(Errno.Ok, t.Unbind(Apqn.Of(apid, apqi).ToString()));
                }
            }
            t.Assign(adapters, [.. domains.Where(_ => random.Below(3) > 0), 4]);
            int[] assigned = [.. t.Mdev().Matrix.Aqm.ToList()];
            int[] passing = [.. adapters.Where(apid => assigned.All(apqi => t.Linked(Apqn.Of(apid, apqi).ToString())))];
            t.AssertShadow(passing, assigned);
        }
    }

    [Fact]
    public void M012_a_bound_new_domain_is_plugged_with_one_write_and_no_reset()
    {
        TestMachine t = new TestMachine([0x04], [0x04, 0x47, 0x54]).Create().Assign([0x04], [0x04, 0x47]);
        Assert.Equal(Errno.Ok, t.Start());
        long writes = t.Machine().SetMasksCount;
        Assert.Equal(Errno.Ok, t.Write(TestMachine.Path("assign_domain"), "0x54"));
        t.AssertGuest([0x04], [0x04, 0x47, 0x54]);
        Assert.Equal(writes + 1, t.Machine().SetMasksCount);
        Assert.Empty(t.Host.Hardware.ResetCounts());
    }

    [Theory]
    [InlineData("linux-6.12", false)]
    [InlineData("linux-6.12", true)]
    [InlineData("strict", false)]
    [InlineData("strict", true)]
    public void M014_a_bind_between_the_callbacks_is_filtered_by_the_new_configuration(string profile, bool boundBefore)
    {
        TestMachine t = new TestMachine([0x04], [0x04, 0x47], profile: Profile.Find(profile)).Create();
        if (!boundBefore)
            Assert.Equal(Errno.Ok, t.Unbind("04.0004"));
        t.Assign([0x04], [0x04, 0x47]);
        Assert.Equal(Errno.Ok, t.Start());
        t.AssertShadow(boundBefore ? [0x04] : [], [0x04, 0x47]);
        QciInfo before = t.Host.ApBus.Configuration;
        QciInfo now = before with { Aqm = ApMask.Of(0x47) };
        t.Host.Hardware.Configure(now.Apm, now.Aqm, now.Adm);
        Assert.True(t.Runtime.Drive(t.Driver.ConfigurationChangedAsync(t.Task, now, before), TimeSpan.Zero));
        // Strict filters again what is left; 6.12 only takes away (F03).
        t.AssertShadow(boundBefore || profile == "strict" ? [0x04] : [], [0x47]);
        if (boundBefore)
        {
            Assert.Equal(Errno.Ok, t.Unbind("04.0004"));
            t.AssertShadow([0x04], [0x47]);
        }
        Assert.Equal(Errno.Ok, t.Bind("04.0004"));
        Assert.True(t.Linked("04.0004"));
        Assert.False(t.Plugged("04.0004"));
        Assert.True(t.Plugged("04.0047"));
        long writes = t.Machine().SetMasksCount;
        int resets = t.Resets("04.0004");
        // The scan removes the device: no unplug, no reset, and nothing of it is left; when it is complete there is nothing to add.
        Assert.Equal(Errno.Ok, t.Write("/sys/bus/ap/scans", "1"));
        Assert.Null(t.Host.ApBus.FindQueue(TestMachine.Q("04.0004")));
        t.AssertGuest([0x04], [0x47]);
        Assert.Equal((resets, writes), (t.Resets("04.0004"), t.Machine().SetMasksCount));
        Assert.False(t.Linked("04.0004"));
        Assert.Null(t.Host.VfioAp.Matrix.Queue(TestMachine.Q("04.0004")));
        Assert.Equal((0, 0), (t.Mdev().Vfio.Pins.Count, t.Machine().Gisa.Counts.Sum(count => count)));
    }

    [Fact]
    public void M015_a_bind_outside_a_scan_is_plugged_within_the_probe()
    {
        TestMachine t = new TestMachine([0x04], [0x04]).Create();
        Assert.Equal(Errno.Ok, t.Unbind("04.0004"));
        t.Assign([0x04], [0x04]);
        Assert.Equal(Errno.Ok, t.Start());
        t.AssertGuest([], [0x04]);
        Assert.Equal(Errno.Ok, t.Bind("04.0004"));
        t.AssertGuest([0x04], [0x04]);
    }

    [Fact]
    public void M016_linked_does_not_imply_the_domain_in_the_shadow()
    {
        TestMachine t = LinkedButNotPlugged();
        Assert.True(t.Linked("04.0047"));
        Assert.False(t.Mdev().Shadow.Aqm[0x47]);
    }

    [Fact]
    public void M017_when_a_whole_card_goes_only_the_first_removal_shows()
    {
        TestMachine t = Running([0x04, 0x05], [0x04, 0x47]);
        long writes = t.Machine().SetMasksCount;
        t.Configure([0x05], [0x04, 0x47]);
        t.AssertGuest([0x05], [0x04, 0x47]);
        Assert.Equal(writes + 1, t.Machine().SetMasksCount);
    }

    [Fact]
    public void M018_without_a_guest_the_shadow_is_kept_for_the_next()
    {
        TestMachine t = new TestMachine([0x04], [0x04]).Create().Assign([0x04], [0x04]);
        t.AssertShadow([0x04], [0x04]);
        Assert.Equal(Errno.Ok, t.Unbind("04.0004"));
        t.AssertShadow([], [0x04]);
        Assert.Equal(Errno.Ok, t.Start());
        t.AssertGuest([], [0x04]);
    }
}
