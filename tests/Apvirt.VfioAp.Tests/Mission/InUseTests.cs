using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Devices.Core;
using Apvirt.Devices.Events;
using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.VfioAp.Tests.Support;

namespace Apvirt.VfioAp.Tests.Mission;

/// <summary>mission.md part 2: the in-use question and ap_perms_mutex, in the final design.</summary>
public sealed class InUseTests
{
    private const string Apmask = "/sys/bus/ap/apmask";

    // apmask without adapter 4, everything else the host's.
    private const string WithoutFour = "0xf7ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

    [Fact]
    public void M020_in_use_is_about_assignment_not_binding()
    {
        TestMachine t = new TestMachine([0x04, 0x05], [0x47]).Create();
        Assert.Equal(Errno.Ok, t.Unbind("04.0047"));
        t.Assign([0x04], [0x47]);
        Assert.Equal(Errno.EADDRINUSE, t.Runtime.Drive(t.Driver.InUseAsync(t.Task, ApMask.Of(0x04), ApMask.Of(0x47))));
        Assert.Equal(Errno.Ok, t.Runtime.Drive(t.Driver.InUseAsync(t.Task, ApMask.Of(0x05), ApMask.Of(0x47))));
    }

    [Fact]
    public void M021_only_newly_set_bits_are_asked_for()
    {
        TestMachine t = new TestMachine([0x04, 0x05], [0x47], WithoutFour).Create().Assign([0x04], [0x47]);
        Witness witness = new(t.Host.ApBus);
        Assert.True(t.Runtime.Drive(t.Host.ApBus.RegisterDriverAsync(t.Task, witness), TimeSpan.Zero));
        Assert.Equal(Errno.EBUSY, t.Write(Apmask, "+4"));
        Assert.Equal(WithoutFour + "\n", t.Read(Apmask));
        Assert.Equal("vfio_ap", t.Host.ApBus.FindQueue(TestMachine.Q("04.0047"))!.Driver!.Name);
        Assert.Equal(Errno.Ok, t.Write(Apmask, "-5"));
        Assert.Empty(witness.Questions);
        Assert.Equal(Errno.Ok, t.Write(Apmask, "+5"));
        Assert.Equal([(ApMask.Of(0x05), ApMask.All)], witness.Questions);
    }

    [Fact]
    public void M022_M026_mask_store_and_assignment_never_deadlock_and_never_steal()
    {
        HashSet<(Errno, Errno)> outcomes = [];
        for (ulong seed = 1; seed <= 300; seed++)
        {
            TestMachine t = new TestMachine([0x04], [0x47], WithoutFour, seed, preemptive: true).Create();
            Assert.Equal(Errno.Ok, t.Write(TestMachine.Path("assign_domain"), "0x47"));
            Assert.Equal(Errno.Ok, t.Start());
            Errno mask = default;
            Errno assign = default;
            SpawnedTask t1 = t.Runtime.Spawn("T1", async task => mask = await t.WriteAsync(task, Apmask, "+4"));
            SpawnedTask t2 = t.Runtime.Spawn("T2", async task => assign = await t.WriteAsync(task, TestMachine.Path("assign_adapter"), "4"));
            t.Runtime.Advance(TimeSpan.FromSeconds(1));
            Assert.True(t1.IsCompleted && t2.IsCompleted, $"seed {seed}: deadlock");
            bool isReserved = t.Host.ApBus.AdapterMask[4];
            bool isAssigned = t.Mdev().Matrix.Apm[4];
            Assert.False(isReserved && isAssigned, $"seed {seed}: stolen");
            outcomes.Add((mask, assign));
        }
        Assert.Equivalent(new[] { (Errno.EBUSY, Errno.Ok), (Errno.Ok, Errno.EADDRNOTAVAIL) }, outcomes, strict: true);
    }

    [Fact]
    public void M023_an_assignment_waits_for_a_show_and_then_succeeds()
    {
        TestMachine t = new TestMachine([0x04], [0x47]).Create();
        KernelTask holder = t.Runtime.CreateTask("show");
        Assert.True(t.Host.VfioAp.Matrix.MdevsLock.TryLock(holder));
        Errno? assign = null;
        t.Runtime.Spawn("T2", async task => assign = await t.WriteAsync(task, TestMachine.Path("assign_adapter"), "4"));
        t.Runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.Null(assign);
        t.Host.VfioAp.Matrix.MdevsLock.Unlock(holder);
        t.Runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(Errno.Ok, assign);
    }

    [Fact]
    public void M024_a_mask_store_that_began_first_finishes_first()
    {
        TestMachine t = new TestMachine([0x04], [0x47], WithoutFour).Create();
        Assert.Equal(Errno.Ok, t.Write(TestMachine.Path("assign_domain"), "0x47"));
        // vfio_ap has answered "not in use" and let go of its locks; a second driver still thinks about its answer, so T1
        // holds nothing but ap_perms_mutex. T2 must not assign in between: that would be the stolen queue.
        Witness witness = new(t.Host.ApBus) { Thinks = TimeSpan.FromSeconds(10) };
        Assert.True(t.Runtime.Drive(t.Host.ApBus.RegisterDriverAsync(t.Task, witness), TimeSpan.Zero));
        Errno? mask = null;
        Errno? assign = null;
        t.Runtime.Spawn("T1", async task => mask = await t.WriteAsync(task, Apmask, "+4"));
        t.Runtime.Advance(TimeSpan.FromSeconds(1));
        t.Runtime.Spawn("T2", async task => assign = await t.WriteAsync(task, TestMachine.Path("assign_adapter"), "4"));
        t.Runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.Null(mask);
        Assert.Null(assign);
        Assert.Null(t.Host.VfioAp.Matrix.GuestsLock.Holder);
        t.Runtime.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal(Errno.Ok, mask);
        Assert.Equal(Errno.EADDRNOTAVAIL, assign);
    }

    [Fact]
    public void M025_the_reprobe_follows_the_mask_change_and_precedes_its_event()
    {
        TestMachine t = new TestMachine([0x04], [0x47], WithoutFour).Create();
        List<string> events = [];
        using (t.Host.Model.Uevents.Listen((Uevent e) => events.Add($"{e.Action} {e.DevPath}")))
            Assert.Equal(Errno.Ok, t.Write(Apmask, "+4"));
        Assert.Equal(["unbind /devices/ap/card04/04.0047", "bind /devices/ap/card04/04.0047", "change /devices/ap"], events);
        Assert.Equal("cex4queue", t.Host.ApBus.FindQueue(TestMachine.Q("04.0047"))!.Driver!.Name);
    }

    [Fact]
    public void M026_the_order_of_locks_when_asked_is_perms_then_guests_then_mdevs()
    {
        TestMachine t = new TestMachine([0x04], [0x47], WithoutFour).Create();
        Witness witness = new(t.Host.ApBus);
        Assert.True(t.Runtime.Drive(t.Host.ApBus.RegisterDriverAsync(t.Task, witness), TimeSpan.Zero));
        Assert.Equal(Errno.Ok, t.Write(Apmask, "+4"));
        Assert.Contains("ap_perms_mutex", witness.Held);
        Assert.DoesNotContain("guests_lock", witness.Held);
        Assert.DoesNotContain("mdevs_lock", witness.Held);
    }

    [Fact]
    public void M028_assigning_what_the_host_has_not_is_allowed()
    {
        TestMachine t = new TestMachine([0x04], [0x47]).Create().Assign([0x09], [0x47]);
        Assert.True(t.Mdev().Matrix.Apm[0x09]);
        Assert.False(t.Mdev().Shadow.Apm[0x09]);
    }

    [Fact]
    public void M029_a_refused_mask_changes_nothing()
    {
        TestMachine t = new TestMachine([0x04], [0x47], WithoutFour).Create().Assign([0x04], [0x47]);
        List<Uevent> events = [];
        using (t.Host.Model.Uevents.Listen(events.Add))
            Assert.Equal(Errno.EBUSY, t.Write(Apmask, "+4"));
        Assert.Equal(WithoutFour + "\n", t.Read(Apmask));
        Assert.Empty(events);
        Assert.Empty(t.Host.Hardware.ResetCounts());
    }

    /// <summary>A driver that takes nothing and notes when it is asked, and with which locks held.</summary>
    private sealed class Witness(ApBus bus) : ApDriver(bus, "witness")
    {
        public List<(ApMask Apm, ApMask Aqm)> Questions { get; } = [];

        public List<string> Held { get; } = [];

        public override bool IsDefault => false;

        public override bool TakesQueues => true;

        public TimeSpan Thinks { get; init; }

        public override async ValueTask<Errno> InUseAsync(KernelTask task, ApMask apm, ApMask aqm)
        {
            Questions.Add((apm, aqm));
            foreach (HeldLock held in task.Held.ToArray())
                Held.Add(held.Lock.Class.Name);
            await task.Runtime.DelayAsync(task, Thinks);
            return Errno.Ok;
        }

        public override ValueTask<Errno> ProbeAsync(KernelTask task, Device device) => new(Errno.ENODEV);

        public override ValueTask RemoveAsync(KernelTask task, Device device) => default;
    }
}
